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

  window.Siyu = { token: token };
})();
