/* The rule builder: nodes are drawn by the server, this file adds, removes and reads them, searches in lists, and keeps
   the sentence in step. What a field is in the draft stands in data-f (console/rule_draft.py). */
(function () {
  "use strict";
  if (window.SiyuRules) return;
  var offers = {}, listNumber = 0;

  function post(path, fields, signal) {
    var body = new URLSearchParams(fields);
    var headers = JSON.parse(document.body.getAttribute("hx-headers") || "{}");
    return fetch(path, { method: "POST", body: body, headers: headers, signal: signal, credentials: "same-origin" }).then(function (answer) {
      if (!answer.ok) throw new Error(answer.status);
      return answer;
    });
  }
  function offered(vocabulary) {
    if (!offers[vocabulary]) {
      var path = "/console/rules/offers?vocabulary=" + encodeURIComponent(vocabulary);
      offers[vocabulary] = fetch(path, { credentials: "same-origin" }).then(function (answer) { return answer.json(); });
    }
    return offers[vocabulary];
  }
  function element(html) {
    var template = document.createElement("template");
    template.innerHTML = html.trim();
    return template.content.firstElementChild;
  }
  function nodeOf(place) { return place.closest("[data-node]"); }

  /* Reading: the fields of a node, not those of nodes inside it. */
  function own(node, selector) {
    return Array.prototype.filter.call(node.querySelectorAll(selector), function (place) { return nodeOf(place) === node; });
  }
  function fieldsOf(places, into) {
    places.forEach(function (place) { into[place.dataset.f] = place.type === "checkbox" ? place.checked : place.value; });
    return into;
  }
  function listsOf(places, into) {
    places.forEach(function (place) {
      into[place.dataset.list] = Array.prototype.map.call(place.querySelectorAll("input:checked"), function (box) { return box.value; });
    });
    return into;
  }
  function read(node) {
    var draft = { kind: node.dataset.node };
    if (draft.kind === "group") {
      fieldsOf(own(node, "[data-f]"), draft);
      draft.parts = Array.prototype.map.call(node.querySelector("[data-parts]").querySelectorAll(":scope > [data-node]"), read);
      return draft;
    }
    var outside = function (place) { return !place.closest("[data-filter]"); };
    fieldsOf(own(node, "[data-f]").filter(outside), draft);
    listsOf(own(node, "[data-list]").filter(outside), draft);
    own(node, "[data-json]").forEach(function (place) { draft[place.dataset.json] = JSON.parse(place.value); });
    if (node.querySelector(".rule-events")) draft.events = own(node, "[data-list-item=events]").map(function (place) { return place.value; });
    draft.filters = own(node, "[data-filter]").map(function (row) {
      return listsOf(Array.prototype.slice.call(row.querySelectorAll("[data-list]")), fieldsOf(Array.prototype.slice.call(row.querySelectorAll("[data-f]")), {}));
    });
    return draft;
  }

  function Builder(root) {
    this.root = root;
    this.tree = root.querySelector("[data-rule-tree]");
    this.text = root.querySelector("[data-rule-text]");
    this.draft = root.querySelector("[data-rule-draft]");
    this.by = root.querySelector("[data-rule-by]");
    this.words = JSON.parse(root.dataset.words);
    this.turn = 0;
    this.keep();
    /* A form that came back: what is wrong in it is marked at once. */
    if ("check" in root.dataset) this.changed(); else this.count();
  }
  Builder.prototype.top = function () { return this.tree.querySelector("[data-root]"); };
  Builder.prototype.extra = function (fields) {
    if ("trigger" in this.root.dataset) fields.trigger = "1";
    if ("nobody" in this.root.dataset) fields.nobody = "1";
    if (this.root.dataset.vocabulary) fields.vocabulary = this.root.dataset.vocabulary;
    return fields;
  };
  Builder.prototype.keep = function () { this.draft.value = JSON.stringify(read(this.top())); };
  Builder.prototype.lost = function () { this.wrong({ message: this.words.lost }); };

  /* Somebody touched a field: the sentence follows, then the count. */
  Builder.prototype.changed = function () {
    var self = this, turn = ++this.turn;
    this.by.value = "builder";
    this.keep();
    clearTimeout(this.saying);
    this.saying = setTimeout(function () {
      post("/console/rules/say", self.extra({ draft: self.draft.value })).then(function (answer) { return answer.json(); }).then(function (said) {
        if (turn !== self.turn) return;
        self.wrong(said.problem);
        if (!said.problem) { self.text.value = said.text; self.count(); } else self.forget();
      }).catch(function () { if (turn === self.turn) self.lost(); });
    }, 180);
  };
  /* Somebody wrote: the fields follow. */
  Builder.prototype.wrote = function () {
    var self = this, turn = ++this.turn;
    this.by.value = "text";
    clearTimeout(this.saying);
    this.saying = setTimeout(function () {
      post("/console/rules/read", self.extra({ text: self.text.value })).then(function (answer) { return answer.json(); }).then(function (found) {
        if (turn !== self.turn) return;
        self.wrong(found.problem);
        if (found.problem) { self.forget(); return; }
        self.tree.replaceChildren(element(found.html));
        self.keep();
        self.count();
      }).catch(function () { if (turn === self.turn) self.lost(); });
    }, 500);
  };
  Builder.prototype.forget = function () {
    clearTimeout(this.counting);
    if (this.asking) this.asking.abort();
    var place = this.root.querySelector("[data-rule-count]");
    if (place) place.replaceChildren();
  };
  Builder.prototype.count = function () {
    var place = this.root.querySelector("[data-rule-count]"), self = this;
    if (!place) return;
    clearTimeout(this.counting);
    if (this.asking) this.asking.abort();
    this.counting = setTimeout(function () {
      var asking = self.asking = new AbortController();
      place.setAttribute("aria-busy", "true");
      post("/console/rules/count", self.extra({ draft: self.draft.value }), asking.signal).then(function (answer) { return answer.text(); }).then(function (html) {
        place.innerHTML = html;
        place.removeAttribute("aria-busy");
      }).catch(function (error) { if (error.name !== "AbortError") place.replaceChildren(); });
    }, 600);
  };
  /* The message stands at the node it is about, or under the sentence. */
  Builder.prototype.wrong = function (problem) {
    this.root.querySelectorAll(".rule-wrong").forEach(function (place) { place.hidden = true; place.textContent = ""; });
    this.root.querySelectorAll("[aria-invalid]").forEach(function (place) { place.removeAttribute("aria-invalid"); });
    if (!problem) return;
    var node = problem.place === null || problem.place === undefined ? null : this.at(problem.place);
    var place = (node && node.dataset.node !== "group" && node.querySelector(":scope > .rule-wrong")) || this.root.querySelector("[data-rule-problem]");
    place.textContent = problem.message;
    place.hidden = false;
    if (node) {
      var field = own(node, '[data-f="' + problem.field + '"]')[0] || own(node, '[data-f="value"]')[0] || own(node, "[data-f]")[0];
      var shown = field && field.type === "hidden" && field.closest(".combo") ? field.closest(".combo").querySelector("[role=combobox]") : field;
      if (shown) shown.setAttribute("aria-invalid", "true");
    } else this.text.setAttribute("aria-invalid", "true");
  };
  Builder.prototype.at = function (place) {
    var node = this.top();
    (place ? place.split(".") : []).forEach(function (n) {
      node = node && node.querySelector("[data-parts]").querySelectorAll(":scope > [data-node]")[Number(n)];
    });
    return node;
  };
  /* What somebody typed while the server drew is not lost: by their names, the fields that differ from `before`. */
  function named(node) {
    var rows = own(node, "[data-filter]"), found = new Map();
    own(node, "[data-f]").forEach(function (place) {
      found.set(rows.indexOf(place.closest("[data-filter]")) + " " + place.dataset.f, place);
    });
    return found;
  }
  function valuesOf(fields) {
    var values = new Map();
    fields.forEach(function (place, name) { values.set(name, place.type === "checkbox" ? place.checked : place.value); });
    return values;
  }
  /* Gives the field of the fresh node that somebody is in. */
  function carry(node, before, fresh) {
    var fields = named(node), into = named(fresh), held = null;
    valuesOf(fields).forEach(function (value, name) {
      var place = into.get(name);
      if (!place || place.type === "hidden") return;
      if (before.get(name) !== value) place[place.type === "checkbox" ? "checked" : "value"] = value;
      if (fields.get(name) === document.activeElement) held = place;
    });
    return held;
  }

  /* A node drawn anew because something in it decides what else there is. Asked twice, the later answer counts. */
  Builder.prototype.reshape = function (node, draft, focus) {
    var self = this, before = valuesOf(named(node)), from = document.activeElement, turn = node.dataset.turn = String(Number(node.dataset.turn || 0) + 1);
    return post("/console/rules/node", this.extra({ node: JSON.stringify(draft) })).then(function (answer) { return answer.text(); }).then(function (html) {
      if (node.dataset.turn !== turn || !node.isConnected) return node;
      var at = document.activeElement, moved = at !== from && at !== document.body, away = moved && !node.contains(at);
      var fresh = element(html), held = carry(node, before, fresh);
      if (node.dataset.node === "group") {
        /* Its parts stay as they are: only the head is new. */
        node.querySelector(".rule-head").replaceWith(fresh.querySelector(".rule-head"));
        if ("root" in node.dataset) { var gone = node.querySelector(".rule-head [data-act=remove]"); if (gone) gone.remove(); }
        fresh = node;
      } else node.replaceWith(fresh);
      var place = away ? null : (moved && held) || (focus && own(fresh, focus)[0]);
      if (place) place.focus();
      self.changed();
      return fresh;
    }).catch(function () { self.lost(); });
  };
  Builder.prototype.add = function (group, draft) {
    var self = this, parts = group.querySelector("[data-parts]");
    post("/console/rules/node", this.extra({ node: JSON.stringify(draft) })).then(function (answer) { return answer.text(); }).then(function (html) {
      var none = parts.querySelector(":scope > .rule-none");
      if (none) none.remove();
      var fresh = element(html);
      parts.appendChild(fresh);
      var first = fresh.querySelector("[role=combobox], select, input:not([type=hidden])");
      if (first) first.focus();
      var combo = first && comboOf(first);
      if (combo) combo.open();
      self.changed();
    }).catch(function () { self.lost(); });
  };

  /* Lists to search in */
  function Combo(place) {
    this.place = place;
    this.input = place.querySelector("[role=combobox]");
    this.hidden = place.querySelector("[data-f]");
    this.known = this.input.value;
  }
  Combo.prototype.builder = function () { return builderOf(this.place); };
  Combo.prototype.open = function () {
    var self = this;
    offered(self.builder().root.dataset.vocabulary || "").then(function (all) {
      if (document.activeElement !== self.input) return;
      self.draw(self.found(all));
    }).catch(function () { self.builder().lost(); });
  };
  Combo.prototype.found = function (all) {
    var kind = this.place.dataset.combo, typed = this.input.value === this.known ? "" : this.input.value.trim();
    var low = typed.toLowerCase(), shown = [];
    (all[kind] || []).forEach(function (one) {
      var text = (one.label + " " + one.value + " " + one.note).toLowerCase();
      var place = low ? text.indexOf(low) : 0;
      if (place >= 0) shown.push([one.label.toLowerCase().indexOf(low) === 0 ? 0 : place < one.label.length ? 1 : 2, one]);
    });
    shown.sort(function (a, b) { return a[0] - b[0]; });
    var items = shown.slice(0, 80).map(function (pair) { return pair[1]; });
    if (typed && kind === "attributes") all.families.forEach(function (one) {
      var name = typed.indexOf(one.value) === 0 ? typed.slice(one.value.length) : typed;
      if (name) items.push({ value: one.value + name, label: one.label + ": " + name, note: "", group: one.label });
    });
    else if (typed && !items.some(function (one) { return one.value === typed; })) {
      items.push({ value: typed, label: this.builder().words.take.replace("%s", typed), note: "", group: "", plain: typed });
    }
    return items;
  };
  Combo.prototype.draw = function (items) {
    this.close();
    var list = document.createElement("ul"), heading = null, self = this;
    list.className = "combo-list"; list.id = "combo-" + (++listNumber); list.setAttribute("role", "listbox");
    items.forEach(function (one, n) {
      if (one.group && one.group !== heading) {
        heading = one.group;
        var head = document.createElement("li");
        head.className = "combo-head"; head.setAttribute("role", "presentation"); head.textContent = heading;
        list.appendChild(head);
      }
      var item = document.createElement("li");
      item.setAttribute("role", "option"); item.id = list.id + "-" + n;
      item.textContent = one.label;
      if (one.note) { var note = document.createElement("span"); note.textContent = one.note; item.appendChild(note); }
      item.addEventListener("mousedown", function (event) { event.preventDefault(); self.choose(one); });
      item.offer = one;
      list.appendChild(item);
    });
    if (!items.length) {
      var none = document.createElement("li");
      none.className = "combo-head"; none.setAttribute("role", "presentation"); none.textContent = this.builder().words.none;
      list.appendChild(none);
    }
    this.place.appendChild(list);
    this.list = list;
    this.input.setAttribute("aria-expanded", "true");
    this.input.setAttribute("aria-controls", list.id);
    if (this.input.value !== this.known) this.mark(0);
  };
  Combo.prototype.items = function () { return this.list ? Array.prototype.slice.call(this.list.querySelectorAll("[role=option]")) : []; };
  Combo.prototype.mark = function (n) {
    var items = this.items();
    if (!items.length) return;
    this.marked = (n + items.length) % items.length;
    items.forEach(function (item, place) { item.setAttribute("aria-selected", place === this.marked ? "true" : "false"); }, this);
    this.input.setAttribute("aria-activedescendant", items[this.marked].id);
    items[this.marked].scrollIntoView({ block: "nearest" });
  };
  Combo.prototype.close = function () {
    if (this.list) this.list.remove();
    this.list = null; this.marked = -1;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  };
  Combo.prototype.choose = function (one) {
    var node = nodeOf(this.place), builder = this.builder(), kind = this.place.dataset.combo;
    this.close();
    if ("many" in this.place.dataset) {
      var draft = read(node);
      if (draft.events.indexOf(one.value) < 0) draft.events.push(one.value);
      this.input.value = this.known = "";
      builder.reshape(node, draft, '[data-combo="events"] [role=combobox]');
      return;
    }
    this.hidden.value = one.value;
    this.input.value = this.known = one.plain || one.label;
    if (kind === "attributes") {
      var fresh = read(node);
      fresh.op = ""; fresh.value = ""; fresh.value2 = "";
      builder.reshape(node, fresh, "select[data-f=op]");
    } else if (kind === "properties" && this.place.closest("[data-filter]")) builder.reshape(node, read(node), null);
    else builder.changed();
  };
  /* Left without choosing: what was typed counts where names are free, else the old choice comes back. */
  Combo.prototype.leave = function () {
    this.close();
    var typed = this.input.value.trim(), kind = this.place.dataset.combo;
    if (this.input.value === this.known || !this.place.isConnected) return;
    if (kind === "attributes") { this.input.value = this.known; return; }
    if (typed || !("many" in this.place.dataset)) this.choose({ value: typed, label: typed, plain: typed });
  };

  var builders = new WeakMap(), combos = new WeakMap();
  function builderOf(place) {
    var root = place.closest("[data-rule-builder]");
    if (root && !builders.has(root)) builders.set(root, new Builder(root));
    return root && builders.get(root);
  }
  function comboOf(target) {
    var place = target.closest && target.closest("[data-rule-builder] [data-combo]");
    if (!place || target.getAttribute("role") !== "combobox") return null;
    if (!combos.has(place)) combos.set(place, new Combo(place));
    return combos.get(place);
  }

  document.addEventListener("focusin", function (event) { var combo = comboOf(event.target); if (combo) event.target.select(); });
  document.addEventListener("click", function (event) { var combo = comboOf(event.target); if (combo && !combo.list) combo.open(); });
  document.addEventListener("focusout", function (event) { var combo = comboOf(event.target); if (combo) combo.leave(); });
  document.addEventListener("keydown", function (event) {
    var combo = comboOf(event.target);
    if (!combo) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!combo.list) combo.open(); else combo.mark(combo.marked + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      var item = combo.items()[combo.marked];
      if (item) combo.choose(item.offer); else combo.leave();
    } else if (event.key === "Escape" && combo.list) {
      combo.input.value = combo.known;
      combo.close();
    }
  });
  document.addEventListener("input", function (event) {
    var builder = event.target.closest && event.target.closest("[data-rule-builder]") && builderOf(event.target);
    if (!builder) return;
    var combo = comboOf(event.target);
    if (combo) combo.open();
    else if (event.target === builder.text) builder.wrote();
    else if (!("reshape" in event.target.dataset)) builder.changed();
  });
  document.addEventListener("change", function (event) {
    var builder = event.target.closest && event.target.closest("[data-rule-builder]") && builderOf(event.target);
    if (!builder || !("reshape" in event.target.dataset)) return;
    var node = nodeOf(event.target), filter = event.target.closest("[data-filter]");
    builder.reshape(node, read(node), filter ? null : 'select[data-f="' + event.target.dataset.f + '"]');
  });
  document.addEventListener("click", function (event) {
    var button = event.target.closest("[data-rule-builder] [data-act]");
    if (!button) return;
    var builder = builderOf(button), node = nodeOf(button), draft;
    if (button.dataset.act === "add") builder.add(node, JSON.parse(button.dataset.new));
    else if (button.dataset.act === "filter") {
      draft = read(node);
      draft.filters.push({ property: "", op: "eq", value: "", as: "text" });
      builder.reshape(node, draft, "[data-filter]:last-of-type [role=combobox]");
    } else if (button.dataset.act === "event-remove") {
      button.closest(".chip").remove();
      builder.reshape(node, read(node), '[data-combo="events"] [role=combobox]');
    } else if (button.dataset.act === "remove") {
      var row = button.closest("[data-filter]"), group = node.parentElement.closest("[data-node]");
      (row || node).remove();
      if (row) builder.reshape(node, read(node), null);
      else {
        var next = group && group.querySelector(":scope > .rule-add button");
        if (next) next.focus();
        builder.changed();
      }
    }
  });
  document.addEventListener("submit", function (event) {
    event.target.querySelectorAll("[data-rule-builder]").forEach(function (root) { builderOf(root).keep(); });
  }, true);
  function begin() { document.querySelectorAll("[data-rule-builder]").forEach(builderOf); }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
  document.addEventListener("htmx:load", begin);
  window.SiyuRules = { begin: begin };
})();
