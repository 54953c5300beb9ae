// Turns every figure into an interactive one, in the colours of the screen; without it the pictures stay.
(function () {
  "use strict";
  var dark = window.matchMedia("(prefers-color-scheme: dark)");

  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }

  function faded(hex, opacity) {
    var n = parseInt(hex.slice(1), 16);
    return "rgba(" + [n >> 16, (n >> 8) & 255, n & 255, opacity].join(",") + ")";
  }

  function paintTrace(trace) {
    var meta = trace.meta;
    if (meta.guide) {
      trace.line.color = colour("--muted");
      trace.textfont = { color: colour("--muted"), size: 12 };
    } else if (meta.band !== undefined) {
      trace.fillcolor = faded(colour("--model-" + meta.style), meta.band);
    } else if (meta.style !== undefined) {
      var ink = colour("--model-" + meta.style);
      trace.line.color = faded(ink, meta.opacity);
      trace.marker.color = ink;
      if (trace.error_y) trace.error_y.color = ink;
    }
  }

  function paint(figure) {
    figure.data.forEach(paintTrace);
    var layout = figure.layout;
    layout.paper_bgcolor = layout.plot_bgcolor = "rgba(0,0,0,0)";
    layout.font = { family: colour("--sans"), size: 13, color: colour("--ink") };
    layout.hoverlabel = {
      bgcolor: colour("--paper"), bordercolor: colour("--rule"), font: { color: colour("--ink") },
    };
    layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: colour("--muted"), activecolor: colour("--ink") };
    Object.keys(layout).forEach(function (key) {
      if (!/^[xy]axis/.test(key)) return;
      Object.assign(layout[key], {
        gridcolor: colour("--grid"), linecolor: colour("--rule"), tickcolor: colour("--rule"),
        zerolinecolor: colour("--ink"), zerolinewidth: 1, zeroline: layout[key].zeroline === true,
        showline: true, ticks: "outside", automargin: true, tickfont: { size: 12 },
      });
    });
    return figure;
  }

  function draw(element) {
    var figure = paint(JSON.parse(element.querySelector("script").textContent));
    var config = {
      responsive: true, displaylogo: false, displayModeBar: true,
      modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
    };
    element.classList.add("live"); // first: a hidden element has no width to fill
    Plotly.react(element.querySelector(".plot"), figure.data, figure.layout, config);
  }

  function drawAll() {
    document.querySelectorAll("figure.chart").forEach(draw);
  }

  drawAll();
  dark.addEventListener("change", drawAll);
})();
