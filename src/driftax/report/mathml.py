"""LaTeX as MathML, which browsers draw without a script or a font from elsewhere."""

from __future__ import annotations

import html
import xml.etree.ElementTree as ElementTree

_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_TAGS = set(
    "math mrow mi mo mn mtext mspace msub msup msubsup mfrac msqrt mover munder munderover mstyle".split()
)
_ATTRIBUTES = set("display stretchy fence form width displaystyle scriptlevel accent mathvariant".split())


def mathml(latex: str) -> str:
    """A formula as a `math` element; what is not pure mathematics comes back as escaped text.

    The converter passes tags inside a text through, so its output is checked before it is trusted.
    """
    from latex2mathml.converter import convert

    found = convert(latex, display="block")
    # The converter writes the relation `\sim` as an ASCII tilde, which stands too high.
    found = found.replace("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")
    try:
        elements = list(ElementTree.fromstring(found).iter())
    except ElementTree.ParseError:
        return f"<code>{html.escape(latex)}</code>"
    tags = {element.tag.removeprefix(_NAMESPACE) for element in elements}
    attributes = {name for element in elements for name in element.attrib}
    if tags <= _TAGS and attributes <= _ATTRIBUTES:
        return found
    return f"<code>{html.escape(latex)}</code>"
