"""An equation in formulas: LaTeX for papers and pages, plain text for terminals.

Every line is written once, in LaTeX; the text form is that LaTeX in Unicode.
"""

from __future__ import annotations

import re
import textwrap

import jax
import numpy as np

from driftax.chain import Chain
from driftax.compiler.obstruction import Obstruction
from driftax.equation._value import Method, ModifiedEquation
from driftax.equation.published import PublishedEquation
from driftax.noise import Message, MinibatchNoise, StudentT, WorkersNoise
from driftax.optimizer._base import is_decay, latex_number, symbol
from driftax.regime import Regime

_NEGLIGIBLE = 1e-9  # an obstruction below it is rounding error
_THIN = r"\,"
_VARIABLE = re.compile(r"d/d(\w+)\[(\d+)\]")


def as_latex_lines(equation: ModifiedEquation | PublishedEquation) -> list[tuple[str, str]]:
    """Label and LaTeX of every line; lines that belong together repeat their label."""
    chain = equation.chain
    *update, numbers = chain.optimizer.latex()
    setting = [
        *(("Update", line) for line in update),
        ("Numbers", numbers),
        ("Gradient", _gradient(chain)),
        ("State", _state(chain)),
        ("Clock", _clock(chain)),
    ]
    if isinstance(equation, PublishedEquation):
        return [*setting, *equation.formula.latex]
    return [
        *setting,
        ("Ladder", _ladder(chain)),
        (
            "One step",
            r"D = z_{k+1} - z_k,\quad m = \mathbb{E}[D],\quad C = \operatorname{Cov}[D]"
            r"\quad \text{given } z_k",
        ),
        *_definitions(equation),
        ("Equation", _general_form(equation)),
        *_coefficients(equation),
        ("Claim", _claim(equation)),
        *_obstruction(equation),
    ]


def as_latex(equation: ModifiedEquation | PublishedEquation) -> str:
    """All lines as one `aligned` block."""
    rows = [rf"&\text{{{label}}} && {latex}" for label, latex in _label_once(as_latex_lines(equation))]
    return "\\begin{aligned}\n" + " \\\\\n".join(rows) + "\n\\end{aligned}"


def as_text(equation: ModifiedEquation | PublishedEquation) -> str:
    """All lines for a terminal, with what no equation reproduces and where the equation comes from."""
    lines = [(label, latex_to_text(latex)) for label, latex in as_latex_lines(equation)]
    rows = [f"  {label:<12}{text}" for label, text in _label_once(lines)]
    sentence = obstruction_sentence(equation)
    if sentence:
        rows += ["", *textwrap.wrap(sentence, 100, initial_indent="  ", subsequent_indent="  ")]
    rows += ["", *(f"  {label:<12}{value}" for label, value in record_rows(equation))]
    return "\n".join([title(equation), "", *rows])


def title(equation: ModifiedEquation | PublishedEquation) -> str:
    """One line that tells this equation from its siblings."""
    if isinstance(equation, PublishedEquation):
        return f"{equation.formula.title}, {equation.record.regime} regime"
    kind = "" if equation.stochastic else "drift only, "
    return (
        f"{equation.record.optimizer}, {equation.record.regime} regime: "
        f"{kind}weak order {equation.weak_order}, {equation.method.value}"
    )


def record_rows(equation: ModifiedEquation | PublishedEquation) -> list[tuple[str, str]]:
    """Where the equation comes from, as label and value."""
    return [(name.replace("_", " "), str(value)) for name, value in equation.record._asdict().items()]


def obstruction_sentence(equation: ModifiedEquation | PublishedEquation) -> str | None:
    """What the obstruction means for the claimed order, in words; None where it was not computed."""
    found = None if isinstance(equation, PublishedEquation) else equation.obstruction
    if found is None:
        return None
    if _negligible(found):
        return "Nothing of one step is out of reach of an equation on this state: order 2 exists here."
    terms = [
        f"{name} = {value:.4g} h²"
        for name, value in (("third-order T₃", found.third), ("fourth-order T₄", found.fourth))
        if abs(value) >= _NEGLIGIBLE
    ]
    if equation.chain.regime is Regime.BALLISTIC:
        meaning = "In the ballistic regime this falls like h³ along the ladder and does not limit order 2."
    else:
        meaning = "Unless it falls along the ladder, order 2 holds only for observables that do not see it."
    return f"One step has what no equation on this state has: {' and '.join(terms)}. {meaning}"


def _label_once(lines: list[tuple[str, str]]) -> list[tuple[str, str]]:
    before = [""] + [label for label, _ in lines[:-1]]
    return [("" if label == last else label, text) for last, (label, text) in zip(before, lines, strict=True)]


def _claim(equation: ModifiedEquation) -> str:
    error = "O(h)" if equation.weak_order == 1 else "O(h^2)"
    in_doubt = (
        equation.weak_order == 2
        and equation.stochastic
        and equation.chain.regime is Regime.BATCH_EQUIVALENT
        and (equation.obstruction is None or not _negligible(equation.obstruction))
    )
    condition = r"\quad \text{unless obstructed}" if in_doubt else ""
    return rf"\mathbb{{E}} f(Z_{{kh}}) - \mathbb{{E}} f(z_k) = {error}{condition}"


_SENT = {
    Message.GRADIENT: r"C(g) = g",
    Message.SPARSE: r"C(g)_i = g_i / p\ \text{with probability}\ p\text{, else}\ 0",
    Message.SIGN: r"C(g) = \operatorname{sign}(g)",
}


def _gradient(chain: Chain) -> str:
    if isinstance(chain.noise, MinibatchNoise):
        manner = "with" if chain.noise.replacement else "without"
        return (
            r"g_k = \frac{1}{B} \sum_{i \in \text{batch } k} \nabla f_i(x_k),\quad "
            rf"B = {latex_number(chain.noise.batch_size)}\ \text{{drawn {manner} replacement}}"
        )
    if isinstance(chain.noise, WorkersNoise):
        return (
            r"g_k = \frac{1}{N} \sum_j C(\nabla f(x_k) + \zeta_{k,j}),\quad "
            rf"N = {latex_number(chain.noise.batch_size)},\quad {_SENT[chain.noise.message]}"
        )
    if isinstance(chain.noise, StudentT):
        dof = latex_number(chain.noise.dof)
        return rf"g_k = \nabla f(x_k) + \zeta_k,\quad \zeta_{{k,i}} \sim \sigma_i\, t_{{{dof}}}"
    spread = r"\Sigma" if chain.noise.constant else r"\Sigma(x_k)"
    if chain.noise.gaussian:
        law = rf"\zeta_k \sim \mathcal{{N}}(0,\,{spread})"
    else:
        name = type(chain.noise).__name__
        law = rf"\mathbb{{E}}[\zeta_k] = 0,\quad \operatorname{{Cov}}[\zeta_k] = {spread}\ \text{{({name})}}"
    return rf"g_k = \nabla f(x_k) + \zeta_k,\quad {law}"


def _state(chain: Chain) -> str:
    units, h = chain.optimizer.units(chain.regime), chain.time_step
    names = []
    for slot, power in chain.optimizer.slots.items():
        name = symbol(slot)
        if slot in units:
            name = rf"h\,{name}" if np.isclose(float(units[slot]), float(h), rtol=1e-6) else rf"h^2\,{name}"
        if power == 2 and chain.log_second_moments:
            name = rf"\log({name})"
        names.append(name)
    state = r",\,".join(names)
    return f"z = ({state})" if len(names) > 1 else f"z = {state}"


def _clock(chain: Chain) -> str:
    meaning = chain.optimizer.time_step_latex(chain.regime)
    meaning += " = " if meaning else ""
    return rf"t = k\,h,\quad h = {meaning}{latex_number(float(chain.time_step))}"


def _ladder(chain: Chain) -> str:
    """How the numbers move on the rung of scale s."""
    optimizer, moves = chain.optimizer, []
    for name, power in optimizer.ladder(chain.regime).items():
        absent = name not in optimizer.numbers or (name != "learning_rate" and optimizer.numbers[name] == 0)
        decay = is_decay(name, optimizer.roles.get(name))
        if not power or (absent and not decay):
            continue
        what = f"1-{symbol(name)}" if decay else symbol(name)
        moves.append(rf"{what} \to {_moved(f'({what})' if decay else what, power)}")
    if chain.regime is Regime.BATCH_EQUIVALENT:
        constant = (
            r"\sigma \to \sigma/\sqrt{s}" if isinstance(chain.noise, StudentT) else r"\Sigma \to \Sigma/s"
        )
        moves.append(r"B \to s\,B" if chain.noise.sampled else constant)
    return r"h \to s\,h:\quad " + r",\quad ".join(moves)


def _moved(what: str, power: float) -> str:
    """What is multiplied by that power of the rung's scale."""
    scale = {0.5: r"\sqrt{s}", 1.0: "s"}.get(abs(power), f"s^{abs(power):g}")
    return rf"{scale}\,{what}" if power > 0 else f"{what}/{scale}"


def _moves_in_time(chain: Chain) -> bool:
    """Whether a step depends on its number (bias corrections)."""
    early, late = (jax.tree.leaves(chain.optimizer.clock(step)) for step in (1.0, 2.0))
    return any(np.any(np.asarray(a) != np.asarray(b)) for a, b in zip(early, late, strict=True))


def _time_derivative(equation: ModifiedEquation) -> str:
    if not _moves_in_time(equation.chain):
        return ""
    return r"\partial_t + " if equation.method is Method.TAYLOR else r"\partial_k + "


def _definitions(equation: ModifiedEquation) -> list[tuple[str, str]]:
    """What the coefficients below are written in."""
    lines = []
    if equation.method is Method.TAYLOR:
        lines.append(("One step", r"m = h\,m_1 + h^2 m_2 + \dots,\quad C = h\,C_1 + h^2 C_2 + \dots"))
    if equation.weak_order == 2 and (generator := _generator(equation)):
        lines.append(("Generator", generator))
    return lines


def _generator(equation: ModifiedEquation) -> str:
    if equation.method is Method.TAYLOR:
        if equation.chain.regime is Regime.BALLISTIC:
            return r"L = m_1\cdot\nabla"
        return r"L = m_1\cdot\nabla + \tfrac{1}{2}\,C_1:\nabla\nabla,\quad J_1 = \partial m_1/\partial z"
    if not equation.stochastic and not equation.full:
        return ""
    jacobian = r",\quad J = \partial m/\partial z" if equation.stochastic else ""
    return (
        r"L = m\cdot\nabla + \tfrac{1}{2}\,M:\nabla\nabla,\quad M = \mathbb{E}[D D^{\top}] = C + m\,m^{\top}"
        + jacobian
    )


def _general_form(equation: ModifiedEquation) -> str:
    at = r"(t, Z_t)" if _moves_in_time(equation.chain) else r"(Z_t)"
    if not equation.stochastic:
        return rf"dZ_t = b{at}\,dt"
    if equation.chain.regime is Regime.BALLISTIC:
        return rf"dZ_t = b{at}\,dt + \sqrt{{h}}\,\sigma{at}\,dW_t,\quad h\,\sigma\sigma^{{\top}} = a"
    return rf"dZ_t = b{at}\,dt + \sigma{at}\,dW_t,\quad \sigma\sigma^{{\top}} = a"


def _coefficients(equation: ModifiedEquation) -> list[tuple[str, str]]:
    taylor = equation.method is Method.TAYLOR
    drift = _taylor_drift(equation) if taylor else _finite_drift(equation)
    if not equation.stochastic:
        return [("Drift", drift)]
    covariance = _taylor_covariance(equation) if taylor else _finite_covariance(equation)
    return [("Drift", drift), ("Covariance", covariance)]


def _apply(time_derivative: str, generator: str, to: str) -> str:
    """`(d_k + L) m`, or `L m` where nothing depends on the number of the step."""
    if time_derivative or generator != "L":
        return rf"({time_derivative}{generator})\,{to}"
    return rf"{generator}\,{to}"


def _finite_drift(equation: ModifiedEquation) -> str:
    if equation.weak_order == 1:
        return r"b = \frac{m}{h}"
    generator = "L" if equation.full else r"m\cdot\nabla"
    correction = _apply(_time_derivative(equation), generator, "m")
    return rf"b = \frac{{m - \tfrac{{1}}{{2}}\,{correction}}}{{h}}"


def _finite_covariance(equation: ModifiedEquation) -> str:
    if equation.weak_order == 1 or not equation.full:
        return r"a = \frac{C}{h}"
    correction = _apply(_time_derivative(equation), "L", "C")
    numerator = rf"C - \tfrac{{1}}{{2}}\,(J C + C J^{{\top}}) - \tfrac{{1}}{{2}}\,{correction}"
    return rf"a = \frac{{{numerator}}}{{h}}"


def _taylor_drift(equation: ModifiedEquation) -> str:
    if equation.weak_order == 1:
        return "b = b_0 = m_1"
    correction = _apply(_time_derivative(equation), "L", "m_1")
    return rf"b = b_0 + h\,b_1,\quad b_0 = m_1,\quad b_1 = m_2 - \tfrac{{1}}{{2}}\,{correction}"


def _taylor_covariance(equation: ModifiedEquation) -> str:
    if equation.chain.regime is Regime.BALLISTIC:
        return r"a = a_0 + h\,a_1,\quad a_0 = 0,\quad a_1 = C_2"
    if equation.weak_order == 1:
        return "a = a_0 = C_1"
    correction = _apply(_time_derivative(equation), "L", "C_1")
    return (
        r"a = a_0 + h\,a_1,\quad a_0 = C_1,\quad "
        r"a_1 = C_2 - \tfrac{1}{2}\,(J_1 C_1 + C_1 J_1^{\top}) - "
        rf"\tfrac{{1}}{{2}}\,{correction}"
    )


def _negligible(found: Obstruction) -> bool:
    return max(abs(found.third), abs(found.fourth)) < _NEGLIGIBLE


def _obstruction(equation: ModifiedEquation) -> list[tuple[str, str]]:
    found = equation.obstruction
    if found is None:
        return []
    terms = (("T_3", found.third, found.third_at), ("T_4", found.fourth, found.fourth_at))
    return [
        ("Obstruction", rf"{name} = {latex_number(value)}\,h^2\ \text{{ at }}\ {_derivative(where)}")
        for name, value, where in terms
        if abs(value) >= _NEGLIGIBLE
    ]


def _derivative(where: str) -> str:
    """`d/dparams[0] d/dnu[1]` in symbols."""
    variables = [rf"\partial {symbol(slot)}[{index}]" for slot, index in _VARIABLE.findall(where)]
    return rf"\frac{{\partial^{len(variables)}}}{{{_THIN.join(variables)}}}"


_WORDS = {
    r"\eta": "η",
    r"\beta": "β",
    r"\epsilon": "ε",
    r"\lambda": "λ",
    r"\mu": "μ",
    r"\nu": "ν",
    r"\zeta": "ζ",
    r"\gamma": "γ",
    r"\Gamma": "Γ",
    r"\iota": "ι",
    r"\rho": "ρ",
    r"\tau": "τ",
    r"\theta": "θ",
    r"\prime": "′",
    r"\left": "",
    r"\right": "",
    r"\Sigma": "Σ",
    r"\sigma": "σ",
    r"\nabla": "∇",
    r"\partial": "∂",
    r"\cdot": "·",
    r"\times": "×",
    r"\sim": "~ ",
    r"\to": "→ ",
    r"\in": "in ",
    r"\sum": "sum",
    r"\log": "log",
    r"\dots": "...",
    r"\top": "T",
    r"\quad": "\N{EM SPACE}",
    r"\,": " ",
    r"\ ": " ",
    r"\_": "\N{LOW LINE}\N{ZERO WIDTH SPACE}",
}
_SUBSCRIPTS = str.maketrans("0123456789+-k,tih ", "₀₁₂₃₄₅₆₇₈₉₊₋ₖ,ₜᵢₕ ")
_SUPERSCRIPTS = str.maketrans("0123456789+-kT′", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ᵏᵀ′")


def latex_to_text(latex: str) -> str:
    """The LaTeX of this module and of `optimizer.latex()` as one line of Unicode text."""
    text = latex.replace(r"\tfrac{1}{2}", "½").replace(r"\tfrac", r"\frac").replace(r"\bar\Sigma", "Σ̄")
    text = text.replace(r"\partial ", "∂").replace(r"\|", "|").replace("^{1/2}", "^½")
    # A command ends at the space after it.
    text = re.sub(r"(\\(?:[A-Za-z]+|[,_ ]))(?: (?=\w))?", lambda match: _WORDS.get(match[1], match[0]), text)
    previous = None
    while text != previous:  # from the innermost braces outwards
        previous = text
        text = re.sub(r"\\hat\{([^{}]*)\}", "\\1\N{COMBINING CIRCUMFLEX ACCENT}", text)
        text = re.sub(r"\\(?:text|operatorname|mathbb|mathcal)\{([^{}]*)\}", r"\1", text)
        text = re.sub(r"\^(?:\{([^{}]*)\}|(\w))", lambda match: _script(match, _SUPERSCRIPTS), text)
        text = re.sub(r"_(?:\{([^{}]*)\}|([^\W_]))", lambda match: _script(match, _SUBSCRIPTS), text)
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", lambda m: f"{_group(m[1])}/{_group(m[2])}", text)
        text = re.sub(r"\\sqrt\{([^{}]*)\}", lambda match: f"√{_group(match[1])}", text)
    text = re.sub(r" +", " ", text.replace("\N{ZERO WIDTH SPACE}", ""))
    return re.sub(r" ?\N{EM SPACE} ?", "   ", text).strip()


def _script(match: re.Match[str], table: dict[int, int]) -> str:
    """A subscript or superscript in Unicode, or in brackets where a character has none."""
    inner = match[1] if match[1] is not None else match[2]
    known = all(ord(character) in table for character in inner)
    return inner.translate(table) if known else f"[{inner}]"


def _group(text: str) -> str:
    """Brackets around anything but one symbol with its scripts."""
    return text if re.fullmatch(r"[\w∂]\N{COMBINING CIRCUMFLEX ACCENT}?[₀-₉ₖ₊₋⁰-⁹²³]*", text) else f"({text})"
