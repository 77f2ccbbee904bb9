/* The console's own behaviour: copying, shortcuts, confirmation, charts, the question form. No framework state. */
(function () {
  "use strict";
  var root = document.documentElement;

  function token(name) { return getComputedStyle(root).getPropertyValue(name).trim(); }

  /* Copy buttons */
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-copy], [data-copy-from]");
    if (!button) return;
    var source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom).textContent : button.dataset.copy;
    copyText(source).then(function () {
      var label = button.querySelector("span");
      var before = label.textContent;
      label.textContent = button.dataset.copied;
      setTimeout(function () { label.textContent = before; }, 1600);
    });
  });

  function copyText(text) {
    if (navigator.clipboard && window.isSecureContext) return navigator.clipboard.writeText(text);
    var area = document.createElement("textarea");
    area.value = text; area.style.position = "fixed"; area.style.opacity = "0";
    document.body.appendChild(area); area.select(); document.execCommand("copy"); area.remove();
    return Promise.resolve();
  }

  /* Forms that ask before they act; language and theme keep the query of the page */
  document.addEventListener("submit", function (event) {
    var question = event.target.dataset.confirm;
    if (question && !window.confirm(question)) { event.preventDefault(); return; }
    if (event.submitter && "keepQuery" in event.submitter.dataset) {
      event.target.elements.back.value = location.pathname + location.search;
    }
  });

  /* "/" goes to the search field; Escape closes what is open */
  document.addEventListener("keydown", function (event) {
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName);
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
      var field = document.querySelector("[data-hotkey='/']");
      if (field) { event.preventDefault(); field.focus(); field.select(); }
    }
    if (event.key === "Escape") closePops(null);
  });
  document.addEventListener("click", function (event) { closePops(event.target.closest("details.pop")); });
  function closePops(except) {
    document.querySelectorAll("details.pop[open]").forEach(function (pop) { if (pop !== except) pop.open = false; });
  }

  /* A control that submits its form when it changes; a button that opens a dialog */
  document.addEventListener("change", function (event) {
    if ("autosubmit" in event.target.dataset) event.target.form.requestSubmit();
  });
  document.addEventListener("click", function (event) {
    var opener = event.target.closest("[data-opens]");
    if (opener) document.getElementById(opener.dataset.opens).showModal();
    var closer = event.target.closest("[data-closes]");
    if (closer) closer.closest("dialog").close();
  });
  /* The button that needs a typed word */
  document.addEventListener("input", function (event) {
    var word = event.target.dataset.typed;
    if (word !== undefined) event.target.form.querySelector("button[type=submit]").disabled = event.target.value.trim() !== word;
  });

  /* htmx: errors carry a page of their own, so show them; a lost server says so */
  document.addEventListener("htmx:beforeSwap", function (event) {
    if (event.detail.xhr.status >= 400 && event.detail.target.dataset.showsErrors !== undefined) {
      event.detail.shouldSwap = true; event.detail.isError = false;
    }
  });
  document.addEventListener("htmx:sendError", function (event) {
    var place = event.detail.elt.closest("[data-lost]");
    if (place) place.textContent = place.dataset.lost;
  });
  /* Poll only while somebody looks */
  document.addEventListener("htmx:beforeRequest", function (event) {
    if (document.hidden && event.detail.requestConfig.triggeringEvent === undefined && event.detail.elt.dataset.poll !== undefined) event.preventDefault();
  });

  /* On a phone the tab one is on may stand outside the row of tabs */
  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll(".tabs [aria-current], .subnav [aria-current], .dock [aria-current]").forEach(function (tab) { tab.scrollIntoView({ inline: "center", block: "nearest" }); });
  });

  window.Siyu = { token: token };
})();

/* Charts: data and wishes stand in data-chart as JSON, colours come from the page's tokens. */
(function () {
  "use strict";
  function number(value) {
    if (value === null || value === undefined || value === "-") return "–";
    return new Intl.NumberFormat(document.body.dataset.locale === "en" ? "en" : "zh-CN", { maximumFractionDigits: 2 }).format(value);
  }
  function compact(value) {
    return new Intl.NumberFormat(document.body.dataset.locale === "en" ? "en" : "zh-CN", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  }
  function escape(text) {
    var node = document.createElement("span"); node.textContent = text; return node.innerHTML.replace(/"/g, "&quot;");
  }
  function color(tone) { return Siyu.token("--" + (tone || "jade")); }
  function rgba(hex, alpha) {
    var n = parseInt(hex.slice(1), 16); return "rgba(" + (n >> 16) + "," + ((n >> 8) & 255) + "," + (n & 255) + "," + alpha + ")";
  }
  function tooltip(more) {
    return Object.assign({
      backgroundColor: Siyu.token("--paper"), borderColor: Siyu.token("--line"), borderWidth: 1, padding: [8, 12],
      textStyle: { color: Siyu.token("--ink"), fontSize: 12.5, fontFamily: Siyu.token("--font") }, confine: true,
      extraCssText: "border-radius:10px;box-shadow:0 8px 24px rgba(0,0,0,.12)"
    }, more);
  }
  function axes(spec, narrow) {
    var line = Siyu.token("--line"), faint = Siyu.token("--ink-3");
    var two = spec.series.some(function (s) { return s.axis === 1; });
    var y = { type: "value", axisLabel: { color: faint, fontSize: 11.5, formatter: compact }, splitLine: { lineStyle: { color: Siyu.token("--line-2") } }, minInterval: 1 };
    return {
      grid: { left: 8, right: 8, top: 34, bottom: 4, containLabel: true },
      xAxis: { type: "category", data: spec.labels, boundaryGap: spec.kind === "bars", axisTick: { show: false }, axisLine: { lineStyle: { color: line } }, axisLabel: { color: faint, fontSize: 11.5, hideOverlap: true, formatter: function (text) { return /^\d{4}-\d\d-\d\d$/.test(text) ? text.slice(5) : text; } } },
      yAxis: two ? [y, Object.assign({}, y, { splitLine: { show: false } })] : [y],
      legend: { top: 0, left: 0, right: 0, type: "plain", icon: "circle", itemWidth: 8, itemHeight: 8, itemGap: narrow ? 10 : 18, textStyle: { color: Siyu.token("--ink-2"), fontSize: 12.5, fontFamily: Siyu.token("--font") } }
    };
  }
  function lines(spec, narrow) {
    var option = axes(spec, narrow);
    option.tooltip = tooltip({ trigger: "axis", axisPointer: { type: "line", lineStyle: { color: Siyu.token("--ink-4") } }, formatter: function (points) {
      return "<b>" + escape(points[0].axisValueLabel) + "</b>" + points.map(function (p) { return "<br>" + p.marker + escape(p.seriesName) + " <b>" + number(p.value) + "</b>"; }).join("");
    } });
    option.series = spec.series.map(function (s) {
      var tint = color(s.tone);
      return { name: s.name, type: "line", data: s.values, yAxisIndex: s.axis || 0, symbol: "circle", symbolSize: 7, showSymbol: s.values.length < 3, triggerLineEvent: false,
        lineStyle: { width: 2, color: tint }, itemStyle: { color: tint }, emphasis: { focus: "series" }, connectNulls: false,
        areaStyle: spec.series.length <= 3 && !s.axis ? { color: rgba(tint, 0.07) } : undefined };
    });
    return option;
  }
  function bars(spec, narrow) {
    var option = axes(spec, narrow);
    option.tooltip = tooltip({ trigger: "axis", axisPointer: { type: "shadow", shadowStyle: { color: rgba(Siyu.token("--ink"), 0.04) } }, formatter: function (points) {
      return "<b>" + escape(points[0].axisValueLabel) + "</b>" + points.map(function (p) { return "<br>" + p.marker + escape(p.seriesName) + " <b>" + number(Math.abs(p.value)) + "</b>"; }).join("");
    } });
    option.series = spec.series.map(function (s) {
      return { name: s.name, type: "bar", stack: s.stack, data: s.values, barMaxWidth: 34, itemStyle: { color: color(s.tone), borderRadius: s.stack ? 2 : [5, 5, 0, 0] }, cursor: "pointer" };
    });
    return option;
  }
  function flow(spec, narrow) {
    var tones = ["jade", "sky", "gold", "plum", "rose", "stone"], seen = {};
    spec.nodes.forEach(function (n) { if (!(n.raw in seen)) seen[n.raw] = tones[Object.keys(seen).length % tones.length]; });
    return {
      tooltip: tooltip({ trigger: "item", formatter: function (p) {
        if (p.dataType === "edge") return escape(p.data.names[0]) + " → " + escape(p.data.names[1]) + "<br><b>" + number(p.data.value) + "</b>";
        return escape(p.data.label) + "<br><b>" + number(p.data.count) + "</b>";
      } }),
      series: [{ type: "sankey", left: 4, right: narrow ? 70 : 130, top: 8, bottom: 8, nodeWidth: 12, nodeGap: 12, draggable: false, layoutIterations: 48, emphasis: { focus: "adjacency" },
        label: { color: Siyu.token("--ink"), fontSize: narrow ? 10.5 : 12, fontFamily: Siyu.token("--font"), width: narrow ? 64 : 120, overflow: "truncate", formatter: function (p) { return p.data.label; } },
        lineStyle: { color: "source", opacity: 0.16, curveness: 0.5 },
        data: spec.nodes.map(function (n) { return { name: n.id, label: n.name, raw: n.raw, step: n.step, count: n.count, depth: n.step, itemStyle: { color: color(seen[n.raw]), borderWidth: 0, borderRadius: 3 } }; }).map(function (n) { n.labelText = n.label; return n; }),
        links: spec.edges.map(function (e) { return { source: e.from, target: e.to, value: e.count, names: e.names, raw: e.raw, step: e.step }; }) }]
    };
  }
  function draw(place) {
    if (!window.echarts || window.echarts.getInstanceByDom(place)) return;
    var spec = JSON.parse(place.dataset.chart), narrow = place.clientWidth < 520;
    var chart = window.echarts.init(place, null, { renderer: "canvas" });
    var option = (spec.kind === "flow" ? flow : spec.kind === "bars" ? bars : lines)(spec, narrow);
    option.animationDuration = window.matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 350;
    if (spec.kind === "flow") option.series[0].data.forEach(function (n) { var text = n.labelText; n.label = { formatter: function () { return text; } }; n.shown = text; });
    if (spec.kind === "flow") option.tooltip.formatter = function (p) {
      if (p.dataType === "edge") return escape(p.data.names[0]) + " → " + escape(p.data.names[1]) + "<br><b>" + number(p.data.value) + "</b>";
      return escape(p.data.shown) + "<br><b>" + number(p.data.count) + "</b>";
    };
    chart.setOption(option);
    var base = place.dataset.cells;
    if (base) chart.on("click", function (p) {
      var cell;
      if (spec.kind === "flow") cell = p.dataType === "edge" ? { step: p.data.step, name: p.data.raw[0], to: p.data.raw[1] } : { step: p.data.step, name: p.data.raw };
      else {
        var series = spec.series[p.seriesIndex];
        if (!series.cell) return;
        cell = Object.assign({}, series.cell); cell[spec.index || "interval"] = p.dataIndex + (spec.first || 0);
      }
      location.href = base + "&cell=" + encodeURIComponent(JSON.stringify(cell));
    });
    else if (spec.days) chart.on("click", function (p) { location.href = spec.days + encodeURIComponent(spec.labels[p.dataIndex]); });
    new ResizeObserver(function () { chart.resize(); }).observe(place);
  }
  function drawAll(root) { root.querySelectorAll("[data-chart]").forEach(draw); }
  document.addEventListener("DOMContentLoaded", function () { drawAll(document); });
  document.addEventListener("htmx:load", function (event) { if (event.target.querySelectorAll) drawAll(event.target.parentElement || event.target); });

  /* Slow work shows its seconds; it can be given up */
  setInterval(function () {
    document.querySelectorAll("[data-since]").forEach(function (place) {
      if (!place.dataset.started) place.dataset.started = Date.now();
      place.textContent = Math.floor((Date.now() - place.dataset.started) / 1000);
    });
  }, 500);
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-abort]");
    if (!button) return;
    htmx.trigger(button.dataset.abort, "htmx:abort");
    button.closest("[data-cancelled]").textContent = button.closest("[data-cancelled]").dataset.cancelled;
  });
})();

/* Forms with rows (steps, series): Alpine copies the template row and removes rows. */
document.addEventListener("alpine:init", function () {
  function number(list) {
    list.querySelectorAll(".no").forEach(function (no, n) { no.textContent = n + 1; });
  }
  Alpine.data("rows", function () {
    return {
      add: function () {
        this.$refs.list.appendChild(this.$refs.row.content.cloneNode(true));
        number(this.$refs.list);
      },
      remove: function (event) {
        /* The list is found first: a removed row no longer knows its form. */
        var row = event.target.closest("[data-row]"), list = row.parentElement;
        row.remove();
        number(list);
      },
    };
  });
  Alpine.data("choice", function () {
    return {
      picked: "",
      init: function () { this.read(); },
      read: function () { this.picked = this.$root.querySelector("select, input:checked").value; },
      custom: function () { return this.picked === "custom"; },
    };
  });
});

/* Parts of a form that belong to a choice: data-when="kind=amount|shipping" shows only then. */
(function () {
  "use strict";
  function chosen(form, name) {
    var field = form.elements[name];
    if (!field) return "";
    if (field.type === "checkbox") return field.checked ? field.value : "";
    return field.value;
  }
  function settle(form) {
    form.querySelectorAll("[data-when]").forEach(function (part) {
      var at = part.dataset.when.indexOf("="), name = part.dataset.when.slice(0, at);
      part.hidden = part.dataset.when.slice(at + 1).split("|").indexOf(chosen(form, name)) < 0;
    });
  }
  function all() { document.querySelectorAll("form").forEach(settle); }
  document.addEventListener("change", function (event) { if (event.target.form) settle(event.target.form); });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all); else all();
})();
