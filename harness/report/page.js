/* Shows one result at a time and draws the timeline of its run. Reads what stands in the page. */
"use strict";
(() => {
  const [POINT, SPAWN, SLEEP, CALL, RESUME, END, FAULT, DRAW, BACK, VIOLATION, GAUGE] =
    Array.from({ length: 11 }, (_, code) => code);
  const LANE = 34, LABEL = 190, CURVE = 66, FEW_LANES = 14, CLOSE = 64, PAD = 12;
  const root = document.documentElement;

  const el = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  };
  const clamp = (value, low, high) => Math.max(low, Math.min(high, value));
  const seconds = (ns) => {
    if (ns === 0) return "0 s";
    const [unit, size] = ns < 1e3 ? ["ns", 1] : ns < 1e6 ? ["µs", 1e3] : ns < 1e9 ? ["ms", 1e6] : ["s", 1e9];
    return `${+(ns / size).toPrecision(12)} ${unit}`;
  };
  const capital = (text) => `${text[0].toUpperCase()}${text.slice(1)}`;
  const base = (file) => file.split("/").pop();
  const some = (names) => names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more`
    : names.length > 1 ? `${names.slice(0, -1).join(", ")} and ${names[names.length - 1]}` : names.join("");
  const counted = (n, one) => `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;

  /* ---- the story, and what can be asked of it ---- */

  class Story {
    constructor(data) {
      Object.assign(this, data);
      this.length = this.lane.length;
      this.turns = [];
      // Events before which the debugger can stop.
      this.points = [];
      for (let at = 0; at < this.length; at++) {
        if (this.kind[at] === POINT && this.place[at] >= 0) this.points.push(at);
        if (at === 0 || this.lane[at] !== this.lane[at - 1] || this.kind[at] === VIOLATION) this.turns.push(at);
      }
      // Of each step, whether it belongs to what the verdict is about.
      this.isKey = new Uint8Array(this.length);
      for (const [begin, end, lane, kind] of this.moments) {
        if (kind === "violation") continue;
        for (let at = begin; at < end; at++) if (this.lane[at] === lane) this.isKey[at] = 1;
      }
      // Who breaks the promise matters, too, whatever came before.
      const last = this.turns.length > 1 ? this.turns[this.turns.length - 2] : 0;
      if (this.lane[last] === this.lane[this.length - 1]) this.isKey.fill(1, last, this.length - 1);
      this.groups = this.grouped();
      this.peaks = this.curves.map((curve) => curve[4].reduce((most, point) => Math.max(most, point[1]), 0));
      this.laneTurns = this.lanes.map(() => 0);
      this.laneSteps = this.lanes.map(() => 0);
      for (const at of this.turns) this.laneTurns[this.lane[at]]++;
      for (const lane of this.lane) this.laneSteps[lane]++;
    }
    /* Moments as they are told: several who do the same one after the other are one. */
    grouped() {
      const groups = [];
      for (const [begin, end, lane, kind, text] of this.moments) {
        const name = this.name(lane), rest = text.startsWith(name) ? text.slice(name.length) : text;
        const last = groups[groups.length - 1];
        if (last && kind === "turn" && last.kind === kind && last.rest === rest) {
          last.others.push(name);
          last.parts.push([begin, end, lane]);
        } else groups.push({ begin, end, lane, kind, text, rest, others: [], parts: [[begin, end, lane]] });
      }
      for (const group of groups) {
        const { others } = group;
        if (others.length) group.text += `; so did ${some(others)}`;
      }
      return groups;
    }
    name(lane) { return this.lanes[lane][0]; }
    say(at) { return this.texts[this.text[at]]; }
    file(at) { return this.place[at] < 0 ? null : this.places[this.place[at]]; }
    where(at) { const place = this.file(at); return place ? `${base(place[0])}:${place[1]}` : ""; }
    source(file, line) { return (this.sources[file] || {})[line] ?? ""; }
    code(at) { const place = this.file(at); return place ? this.source(place[0], place[1]).trim() : ""; }
    now(at) { return valueAt(this.clock, at, 0); }
    /* The step of the run that an event is in, as verdicts count. */
    step(at) { return `step ${this.number[at].toLocaleString("en")}`; }
    /* What to ask of the debugger for the sake of an event, and where it stops then. */
    stop(at) {
      if (!this.points.length) return null;
      // Who was stopped had come to it before.
      const there = this.kind[at] === BACK ? this.lane.lastIndexOf(this.lane[at], at - 1) : at;
      const wanted = this.number[there];
      const last = this.number[this.points[this.points.length - 1]];
      const point = this.points.find((each) => this.number[each] >= Math.min(wanted, last));
      const where = `step ${this.number[point].toLocaleString("en")}, ${this.name(this.lane[point])} at ${this.where(point)}`;
      if (point === at) return [wanted, "stops here"];
      if (point === there) return [wanted, "stops where it came to this, before others went on"];
      if (wanted > last) return [wanted, `stops at the last scheduling point: ${where}`];
      if (this.number[point] > wanted) return [wanted, `stops at the next scheduling point: ${where}`];
      return [wanted, `stops where this step begins: ${where}`];
    }
    turnOf(at) {
      let low = 0, high = this.turns.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (this.turns[middle] <= at) low = middle; else high = middle - 1;
      }
      return low;
    }
    endOf(turn) { return turn + 1 < this.turns.length ? this.turns[turn + 1] : this.length; }
    lines(begin, end) {
      let first = null, last = null;
      for (let at = begin; at < end && !first; at++) first = this.file(at);
      for (let at = end - 1; at >= begin && !last; at--) last = this.file(at);
      if (!first) return "";
      const start = `${base(first[0])}:${first[1]}`;
      if (first[0] !== last[0]) return `${start} … ${base(last[0])}:${last[1]}`;
      return first[1] === last[1] ? start : `${start}${last[1] > first[1] ? "–" : " … "}${last[1]}`;
    }
    /* What somebody does while somebody else makes a step. */
    doing(lane, at) {
      const [, , , born, gone] = this.lanes[lane];
      if (at < born) return "";
      if (this.lane[at] === lane && this.kind[at] !== VIOLATION) return "runs";
      if (at >= gone) return "";
      const stop = this.stops.find(([whose, begin, end]) => whose === lane && begin <= at && at < end);
      const wait = this.waits.find(([whose, begin, end]) => whose === lane && begin <= at && at < end);
      if (wait) return this.texts[wait[3]];
      if (stop) return "is held back, though it could go on";
      return this.lane[at] === lane ? "runs" : "could run";
    }
    stopped(at) { return this.kind[at] === POINT && this.stops.some(([lane, begin]) => lane === this.lane[at] && begin === at + 1); }
    locks(lane, at) {
      return this.holds.filter(([whose, begin, end]) => whose === lane && begin <= at && at < end)
        .map((hold) => this.lockNames[hold[3]]);
    }
  }
  const valueAt = (points, at, start) => {
    let low = 0, high = points.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] <= at) low = middle + 1; else high = middle;
    }
    return low ? points[low - 1][1] : start;
  };

  /* ---- the picture ---- */

  class Timeline {
    constructor(box, data) {
      // A story can be asked which locks somebody holds.
      const { locks: lockNames, ...columns } = data;
      this.story = new Story({ ...columns, lockNames });
      this.box = box;
      this.chosenLane = -1;
      this.open = new Set();
      this.isAll = this.story.lanes.length <= FEW_LANES;
      this.rows = this.chooseRows();
      this.at = this.story.length - 1;
      [this.begin, this.end] = this.firstView();
      this.width = 800;
      this.build();
      this.resize();
      new ResizeObserver(() => this.resize()).observe(this.box);
    }

    chooseRows() {
      const { story } = this, all = story.lanes.map((_, lane) => lane);
      if (this.isAll) return all;
      const wanted = new Set();
      for (const moment of story.moments) if (wanted.size < FEW_LANES) wanted.add(moment[2]);
      for (const [lane] of story.stops) if (wanted.size < FEW_LANES) wanted.add(lane);
      for (let turn = story.turns.length - 1; turn >= 0 && wanted.size < FEW_LANES - 4; turn--) {
        wanted.add(story.lane[story.turns[turn]]);
      }
      return all.filter((lane) => wanted.has(lane));
    }

    firstView() {
      const { story } = this, n = story.length;
      if (n <= 220) return [0, n];
      const key = story.moments.filter((moment) => moment[3] !== "violation");
      const first = key.length ? key[0][0] - 6 : n - 140;
      return [clamp(first, 0, n - 60), n];
    }

    build() {
      const { story } = this;
      this.why = el("ol");
      const told = story.groups.length > 14
        ? [...story.groups.slice(0, 7), null, ...story.groups.slice(-6)] : story.groups;
      for (const group of told) {
        if (!group) {
          this.why.append(el("li", {}, el("button", { type: "button", disabled: true },
            `… ${counted(story.groups.length - 13, "turn")} between them …`)));
          continue;
        }
        const number = story.groups.indexOf(group) + 1;
        this.why.append(el("li", {}, el("button", {
          type: "button", class: "moment", "data-moment": number - 1, onclick: () => this.goTo(number - 1),
        }, el("span", { class: `number ${group.kind}` }, String(number)), el("span", {}, group.text))));
      }
      const isPlain = story.groups.length === 1;
      this.box.append(el("section", { class: "why" }, el("h3", {}, isPlain ? "What went wrong" : "How it came to this"), this.why));
      if (isPlain) {
        const because = story.rows.find(([label]) => label === "because");
        if (because) this.box.append(el("p", { class: "note" }, `${capital(because[1])}.`));
      }

      const tool = (text, label, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, text);
      this.all = el("button", { type: "button", class: "all-lanes", onclick: () => this.toggleLanes() });
      const tools = el("div", { class: "tools" },
        el("h3", {}, "Timeline"),
        el("span", { class: "hint" }, "← → event · ↑ ↓ lane · n p numbered · + − zoom"),
        this.all,
        tool("−", "Zoom out", () => this.zoom(1.6)), tool("+", "Zoom in", () => this.zoom(1 / 1.6)),
        tool("Whole run", "Show the whole run", () => this.show(0, story.length)),
        tool("The failure", "Show the events before the failure", () => this.show(story.length - CLOSE, story.length)));

      this.map = el("canvas", { "aria-hidden": "true" });
      this.ruler = el("canvas", { "aria-hidden": "true" });
      this.canvas = el("canvas", { "aria-hidden": "true" });
      this.labels = el("div");
      this.markers = el("div");
      this.sheet = el("div", { class: "sheet" }, this.canvas, this.labels, this.markers);
      this.lanesBox = el("div", {
        class: "lanes", tabindex: "0", role: "group",
        "aria-label": "Timeline: arrow keys go from event to event, n and p from one numbered moment to another",
      }, this.sheet);
      this.curves = story.curves.map((curve, index) => {
        const canvas = el("canvas", { "aria-hidden": "true" });
        const side = el("div", { class: "side" });
        return { curve, peak: story.peaks[index], canvas, side, strip: el("div", { class: "strip curves" }, side, canvas) };
      });
      this.mapStrip = el("div", { class: "strip map" }, el("div", { class: "side" }, "whole run"), this.map);
      this.tip = el("div", { class: "tip", hidden: true });
      const key = el("div", { class: "key" });
      for (const [name, text, isThere] of [
        ["keyturn", "turns that matter", story.isKey.includes(1)], ["turn", "runs", true],
        ["wait", "waits", story.waits.length], ["stop", "held back, though it could go on", story.stops.length],
        ["hold", "holds a lock", story.holds.length],
      ]) if (isThere) key.append(el("span", {}, el("i", { class: name }), text));
      this.panel = el("section", { class: "timeline panel", style: `--label: ${LABEL}px` }, tools, this.mapStrip,
        el("div", { class: "strip ruler" }, el("div", { class: "side" }, "step"), this.ruler),
        this.lanesBox, ...this.curves.map((each) => each.strip), key, this.tip);
      this.order = el("div", { class: "pane panel order" });
      this.detail = el("div", { class: "detail pane panel", "aria-live": "polite" });
      this.box.append(this.panel, el("div", { class: "panes" }, this.order, this.detail));
      this.listen();
      this.layLanes();
      this.fillOrder();
      this.fillDetail();
    }

    listen() {
      this.lanesBox.addEventListener("keydown", (event) => this.onKey(event));
      this.lanesBox.addEventListener("scroll", () => this.draw());
      const surfaces = [this.canvas, this.ruler, ...this.curves.map((each) => each.canvas)];
      for (const surface of surfaces) {
        let from = null;
        surface.addEventListener("wheel", (event) => {
          if (event.ctrlKey || event.metaKey) {
            event.preventDefault();
            this.zoom(Math.exp(event.deltaY * 0.002), this.stepAt(event.offsetX));
          } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
            event.preventDefault();
            this.pan((event.deltaX || event.deltaY) * (this.end - this.begin) / this.width);
          }
        }, { passive: false });
        surface.addEventListener("pointerdown", (event) => {
          from = { x: event.clientX, begin: this.begin, end: this.end, moved: false };
          surface.setPointerCapture(event.pointerId);
        });
        surface.addEventListener("pointermove", (event) => {
          if (from && Math.abs(event.clientX - from.x) > 4) from.moved = true;
          if (from && from.moved) {
            const by = (from.x - event.clientX) * (from.end - from.begin) / this.width;
            this.show(from.begin + by, from.end + by);
            this.tip.hidden = true;
          } else this.hover(event, surface);
        });
        surface.addEventListener("pointerup", (event) => {
          if (from && !from.moved) this.click(event, surface);
          from = null;
        });
        surface.addEventListener("pointerleave", () => { this.tip.hidden = true; });
      }
      const brush = (event) => {
        const middle = event.offsetX / this.width * this.story.length, half = (this.end - this.begin) / 2;
        this.show(middle - half, middle + half);
      };
      this.map.addEventListener("pointerdown", (event) => { this.map.setPointerCapture(event.pointerId); brush(event); });
      this.map.addEventListener("pointermove", (event) => { if (event.buttons) brush(event); });
    }

    layLanes() {
      const { story } = this;
      this.sheet.style.height = `${this.rows.length * LANE + PAD + 4}px`;
      this.lanesBox.style.maxHeight = "520px";
      this.labels.replaceChildren();
      this.all.hidden = story.lanes.length <= FEW_LANES;
      this.all.textContent = this.isAll ? "Only the lanes that matter" : `All ${story.lanes.length.toLocaleString("en")} lanes`;
      this.rows.slice(0, 2000).forEach((lane, row) => {
        const [name, kind, thread] = story.lanes[lane];
        this.labels.append(el("button", {
          type: "button", class: `lane ${thread >= 0 ? "task" : ""}`, "data-lane": lane,
          "aria-pressed": String(lane === this.chosenLane), title: `${name}, ${kind}`,
          style: `top: ${row * LANE + PAD + 2}px; height: ${LANE - 6}px; line-height: ${LANE - 8}px`,
          onclick: () => this.chooseLane(lane),
        }, el("b", {}, name), el("span", {}, kind)));
      });
    }

    toggleLanes() {
      this.isAll = !this.isAll;
      this.rows = this.chooseRows();
      this.layLanes();
      this.resize();
    }

    /* ---- where the view is ---- */

    x(step) { return (step - this.begin) / (this.end - this.begin) * (this.width - 8) + 2; }
    stepAt(x) { return (x - 2) / (this.width - 8) * (this.end - this.begin) + this.begin; }
    show(begin, end) {
      const n = this.story.length, span = clamp(end - begin, Math.min(n, 6), n);
      this.begin = clamp(begin, 0, n - span);
      this.end = this.begin + span;
      this.draw();
    }
    zoom(by, around = null) {
      const middle = around ?? (this.at >= this.begin && this.at < this.end ? this.at + .5 : (this.begin + this.end) / 2);
      this.show(middle - (middle - this.begin) * by, middle + (this.end - middle) * by);
    }
    pan(by) { this.show(this.begin + by, this.end + by); }
    reveal(at) {
      const span = this.end - this.begin;
      if ((this.width / span) < 5) this.show(at - CLOSE / 2, at + CLOSE / 2);
      else if (at < this.begin || at >= this.end) this.show(at - span / 2, at + span / 2);
      let row = this.rows.indexOf(this.story.lane[at]);
      if (row < 0) {
        this.rows = [...this.rows, this.story.lane[at]].sort((a, b) => a - b);
        this.layLanes();
        row = this.rows.indexOf(this.story.lane[at]);
        this.resize();
      }
      const top = row * LANE + PAD, box = this.lanesBox;
      if (top < box.scrollTop || top + LANE > box.scrollTop + box.clientHeight) box.scrollTop = top - box.clientHeight / 2;
    }

    /* ---- what is chosen ---- */

    choose(at, { reveal = true } = {}) {
      this.at = clamp(at, 0, this.story.length - 1);
      this.chosenLane = -1;
      if (reveal) this.reveal(this.at);
      this.fillOrder();
      this.fillDetail();
      this.layPressed();
      this.draw();
    }
    goTo(number) {
      const { begin, end, kind } = this.story.groups[number];
      // Who was stopped: the step before which it stands.
      this.choose(kind === "stop" ? Math.max(begin, end - 1) : begin);
    }
    chooseLane(lane) {
      this.chosenLane = this.chosenLane === lane ? -1 : lane;
      this.layPressed();
      this.fillDetail();
      this.draw();
    }
    layPressed() {
      for (const label of this.labels.children) {
        label.setAttribute("aria-pressed", String(+label.dataset.lane === this.chosenLane));
      }
    }
    momentAt() {
      const { at, story } = this;
      return story.groups.findIndex(({ parts, kind }) => parts.some(([begin, end, lane]) =>
        begin <= at && at < end && (story.lane[at] === lane || kind === "fault")));
    }

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target !== this.lanesBox) return;
      const { story } = this, turn = story.turnOf(this.at);
      const inLane = (by) => {
        const row = clamp(this.rows.indexOf(story.lane[this.at]) + by, 0, this.rows.length - 1);
        const lane = this.rows[row];
        for (let far = 1; far < story.length; far++) {
          if (story.lane[this.at - far] === lane) return this.at - far;
          if (story.lane[this.at + far] === lane) return this.at + far;
        }
        return this.at;
      };
      const nextMoment = (by) => {
        const here = this.momentAt(), last = story.groups.length - 1;
        if (here >= 0) return clamp(here + by, 0, last);
        const after = story.groups.findIndex(({ begin }) => begin > this.at);
        return clamp(by > 0 ? (after < 0 ? last : after) : (after < 0 ? last : after - 1), 0, last);
      };
      const actions = {
        ArrowRight: () => this.choose(event.shiftKey ? story.endOf(turn) : this.at + 1),
        ArrowLeft: () => this.choose(event.shiftKey ? story.turns[Math.max(0, turn - 1)] : this.at - 1),
        ArrowDown: () => this.choose(inLane(1)), ArrowUp: () => this.choose(inLane(-1)),
        Home: () => this.choose(0), End: () => this.choose(story.length - 1),
        n: () => this.goTo(nextMoment(1)), p: () => this.goTo(nextMoment(-1)),
        "+": () => this.zoom(1 / 1.6), "=": () => this.zoom(1 / 1.6), "-": () => this.zoom(1.6),
      };
      if (actions[event.key]) { event.preventDefault(); actions[event.key](); }
    }

    /* The step under a pointer: that of the lane, or else the nearest in it. */
    find(event, surface) {
      const at = clamp(Math.floor(this.stepAt(event.offsetX)), 0, this.story.length - 1);
      if (surface !== this.canvas) return { at, lane: this.story.lane[at] };
      const row = Math.floor((event.offsetY + this.lanesBox.scrollTop - PAD) / LANE);
      return { at, lane: this.rows[row] ?? this.story.lane[at] };
    }
    click(event, surface) {
      const { at, lane } = this.find(event, surface), { story } = this;
      const near = Math.ceil(6 * (this.end - this.begin) / this.width);
      let chosen = at;
      for (let far = 0; far <= near && story.lane[chosen] !== lane; far++) {
        if (story.lane[at - far] === lane) chosen = at - far;
        else if (story.lane[at + far] === lane) chosen = at + far;
      }
      this.choose(chosen, { reveal: false });
      this.lanesBox.focus({ preventScroll: true });
    }
    hover(event, surface) {
      const { at, lane } = this.find(event, surface), { story } = this;
      const lines = [];
      if (story.lane[at] === lane) {
        lines.push(el("b", {}, `${story.name(lane)}: ${story.say(at)}`));
        if (story.code(at)) lines.push(el("code", {}, `${story.where(at)}  ${story.code(at)}`));
      } else {
        const doing = story.doing(lane, at);
        if (!doing) { this.tip.hidden = true; return; }
        lines.push(el("b", {}, `${story.name(lane)} ${doing}`));
        const wait = story.waits.find(([whose, begin, end]) => whose === lane && begin <= at && at < end);
        const place = wait && wait[4] >= 0 ? story.places[wait[4]] : null;
        if (place) lines.push(el("code", {}, `${base(place[0])}:${place[1]}  ${story.source(place[0], place[1]).trim()}`));
      }
      const held = story.locks(lane, at);
      if (held.length) lines.push(el("div", {}, `holds ${held.join(", ")}`));
      lines.push(el("div", { class: "at" }, `${story.step(at)}, t = ${seconds(story.now(at))}`));
      this.tip.replaceChildren(...lines);
      this.tip.hidden = false;
      const box = this.panel.getBoundingClientRect(), size = this.tip.getBoundingClientRect();
      const left = clamp(event.clientX - box.left + 14, 4, box.width - size.width - 6);
      const above = event.clientY - box.top + 20 + size.height > box.height;
      this.tip.style.left = `${left}px`;
      this.tip.style.top = `${event.clientY - box.top + (above ? -size.height - 12 : 20)}px`;
    }

    /* Where time moves in what is shown: [step, when, by how much]. */
    movesInView() {
      const { clock } = this.story, found = [];
      let low = 0, high = clock.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if (clock[middle][0] < this.begin) low = middle + 1; else high = middle;
      }
      for (let index = Math.max(low, 1); index < clock.length && clock[index][0] < this.end; index++) {
        found.push([clock[index][0], clock[index][1], clock[index][1] - clock[index - 1][1]]);
      }
      return found;
    }

    /* ---- drawing ---- */

    resize() {
      if (!this.box.clientWidth) return;
      // Asked once: to ask the document for each thing that is drawn takes seconds.
      this.width = Math.max(80, this.box.clientWidth - LABEL - 1);
      const style = getComputedStyle(root);
      this.colours = Object.fromEntries(["text", "dim", "line", "panel", "sunk", "turn", "turn-text", "key", "key-text",
        "stop", "wait", "wait-soft", "hold", "bad", "bad-soft", "curve", "curve-soft", "bound", "accent"]
        .map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
      this.font = getComputedStyle(document.body).fontFamily;
      this.mono = style.getPropertyValue("--mono");
      this.draw();
    }
    surface(canvas, height) {
      const ratio = window.devicePixelRatio || 1, width = this.width;
      const wide = Math.round(width * ratio), high = Math.round(height * ratio);
      if (canvas.width !== wide || canvas.height !== high) {
        canvas.width = wide;
        canvas.height = high;
        canvas.style.width = `${width}px`;
        canvas.style.height = `${height}px`;
      }
      const pen = canvas.getContext("2d");
      pen.setTransform(ratio, 0, 0, ratio, 0, 0);
      pen.clearRect(0, 0, width, height);
      pen.textBaseline = "middle";
      return pen;
    }
    draw() {
      if (!this.colours || this.waiting) return;
      this.waiting = true;
      requestAnimationFrame(() => {
        this.waiting = false;
        this.drawMap();
        this.drawRuler();
        this.drawLanes();
        this.drawCurves();
        this.layMarkers();
      });
    }
    text(pen, text, x, y, room, colour, size = 12, mono = false) {
      if (room < 14) return;
      pen.font = `${size}px ${mono ? this.mono : this.font}`;
      pen.fillStyle = colour;
      let shown = text;
      if (pen.measureText(shown).width > room) {
        const fits = Math.floor(shown.length * room / pen.measureText(shown).width) - 1;
        if (fits < 2) return;
        shown = `${shown.slice(0, fits)}…`;
      }
      pen.fillText(shown, x, y);
    }

    drawMap() {
      const { story, colours } = this, rows = Math.min(this.rows.length, 24);
      this.mapStrip.hidden = story.length <= CLOSE;
      if (this.mapStrip.hidden) return;
      const height = clamp(rows * 4 + 8, 24, 72), pen = this.surface(this.map, height), width = this.width - 8;
      pen.fillStyle = colours.sunk;
      pen.fillRect(0, 0, this.width, height);
      const thick = (height - 8) / this.rows.length, last = new Map();
      const rowOf = new Map(this.rows.map((lane, row) => [lane, row]));
      story.turns.forEach((begin, turn) => {
        const row = rowOf.get(story.lane[begin]);
        if (row === undefined) return;
        const x = begin / story.length * width + 2, to = story.endOf(turn) / story.length * width + 2;
        const isKey = story.isKey[begin];
        if (!isKey && to - (last.get(row) ?? -1) < .7) return;
        last.set(row, to);
        pen.fillStyle = isKey ? colours.key : colours.turn;
        pen.fillRect(x, 4 + row * thick, Math.max(isKey ? 2 : .7, to - x), Math.max(1, thick - 1));
      });
      for (const [begin, , , kind] of story.moments) {
        pen.fillStyle = kind === "violation" || kind === "fault" ? colours.bad : kind === "stop" ? colours.stop : colours.key;
        pen.fillRect(begin / story.length * width + 1, 0, 2, height);
      }
      const from = this.begin / story.length * width + 2, to = this.end / story.length * width + 2;
      pen.strokeStyle = colours.accent;
      pen.lineWidth = 1.5;
      pen.strokeRect(from, .75, Math.max(4, to - from), height - 1.5);
    }

    drawRuler() {
      const { story, colours } = this, pen = this.surface(this.ruler, 34);
      const step = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4]
        .find((each) => this.x(each) - this.x(0) > 52) || 1e5;
      let last = 0;
      for (let at = Math.ceil(this.begin / step) * step; at < Math.min(this.end, story.length); at += step) {
        if (story.number[at] === last) continue;
        last = story.number[at];
        pen.textAlign = "center";
        this.text(pen, last.toLocaleString("en"), this.x(at + .5), 9, 60, colours.dim, 11);
      }
      pen.textAlign = "left";
      // The longest jumps of the clock first: where there is no room, a short one goes unsaid.
      const jumps = [[this.begin, valueAt(story.clock, this.begin, 0), Infinity]];
      for (const [at, ns, by] of this.movesInView()) if (at > this.begin) jumps.push([at, ns, by]);
      const taken = [];
      pen.font = `11px ${this.font}`;
      for (const [at, ns] of jumps.sort((a, b) => b[2] - a[2]).slice(0, 200)) {
        const text = `t = ${seconds(ns)}`, wide = pen.measureText(text).width + 8;
        const x = Math.min(this.x(at) + 3, this.width - wide);
        if (taken.some(([from, to]) => x < to && x + wide > from)) continue;
        this.text(pen, text, x, 25, wide, colours.text, 11);
        taken.push([x, x + wide]);
      }
    }

    drawLanes() {
      const { story, colours, rows } = this;
      const height = Math.min(rows.length * LANE + PAD + 4, 520), pen = this.surface(this.canvas, height);
      const top = this.lanesBox.scrollTop, width = this.width;
      const rowOf = new Map(rows.map((lane, row) => [lane, row * LANE + PAD - top]));
      const isSeen = (y) => y !== undefined && y > -LANE && y < height;
      const perStep = this.x(1) - this.x(0);

      rows.forEach((lane, row) => {
        const y = rowOf.get(lane);
        if (!isSeen(y)) return;
        if (lane === this.chosenLane || row % 2) {
          pen.fillStyle = colours.sunk;
          pen.globalAlpha = lane === this.chosenLane ? 1 : .45;
          pen.fillRect(0, y - 1, width, LANE);
          pen.globalAlpha = 1;
        }
        const [, , , born, gone] = story.lanes[lane];
        const from = Math.max(0, this.x(born)), to = Math.min(width, this.x(gone));
        if (to > from) {
          pen.strokeStyle = colours.line;
          pen.lineWidth = 2;
          pen.beginPath();
          pen.moveTo(from, y + 15);
          pen.lineTo(to, y + 15);
          pen.stroke();
        }
      });

      // Where time moves all the time, lines would only be grey.
      const moves = this.movesInView();
      for (const [at] of moves.length > 60 ? [] : moves) {
        const x = this.x(at);
        pen.strokeStyle = colours.dim;
        pen.globalAlpha = .35;
        pen.lineWidth = 1;
        pen.setLineDash([2, 4]);
        pen.beginPath();
        pen.moveTo(x, 0);
        pen.lineTo(x, height);
        pen.stroke();
        pen.setLineDash([]);
        pen.globalAlpha = 1;
      }
      this.spans(pen, story.waits, rowOf, isSeen, (x, to, y, wait) => this.drawWait(pen, x, to, y, wait));
      this.spans(pen, story.stops, rowOf, isSeen, (x, to, y) => {
        pen.strokeStyle = colours.stop;
        pen.lineWidth = 3;
        pen.setLineDash([7, 5]);
        pen.beginPath();
        pen.moveTo(x + 2, y + 15);
        pen.lineTo(to - 2, y + 15);
        pen.stroke();
        pen.setLineDash([]);
      });
      this.drawTurns(pen, rowOf, isSeen, perStep);
      this.spans(pen, story.holds, rowOf, isSeen, (x, to, y, hold) => {
        pen.fillStyle = colours.hold;
        pen.fillRect(x, y + 28, Math.max(1.5, to - x), 3);
        if (to - x > 70 && story.lane[hold[1]] !== hold[0]) {
          this.text(pen, story.lockNames[hold[3]], x + 3, y + 5, to - x - 6, colours.hold, 10.5, true);
        }
      });
      this.drawHandOvers(pen, rowOf, isSeen);
      const x = this.x(this.at), to = this.x(this.at + 1);
      pen.fillStyle = colours.accent;
      pen.globalAlpha = .13;
      pen.fillRect(x, 0, Math.max(2, to - x), height);
      pen.globalAlpha = 1;
    }
    spans(pen, spans, rowOf, isSeen, draw) {
      const last = new Map();
      for (const span of spans) {
        const [lane, begin, end] = span, y = rowOf.get(lane);
        if (end <= this.begin || begin >= this.end || !isSeen(y)) continue;
        const x = Math.max(-4, this.x(begin)), to = Math.min(this.width + 4, this.x(end));
        if (to - (last.get(lane) ?? -9) < .6) continue;
        last.set(lane, to);
        draw(x, to, y, span);
      }
    }
    drawWait(pen, x, to, y, wait) {
      const { colours, story } = this;
      pen.fillStyle = colours["wait-soft"];
      pen.beginPath();
      pen.roundRect(x + 1, y + 7, Math.max(1, to - x - 2), 16, 4);
      pen.fill();
      if (to - x > 6) {
        pen.save();
        pen.clip();
        pen.strokeStyle = colours.wait;
        pen.globalAlpha = .38;
        pen.lineWidth = 1;
        pen.beginPath();
        for (let at = x - 20 - (x % 7); at < to; at += 7) { pen.moveTo(at, y + 26); pen.lineTo(at + 18, y + 5); }
        pen.stroke();
        pen.globalAlpha = 1;
        const text = story.texts[wait[3]], left = Math.max(x, 0) + 7;
        pen.font = `11.5px ${this.font}`;
        const wide = Math.min(pen.measureText(text).width, to - left - 8);
        if (wide > 30) {
          pen.fillStyle = colours["wait-soft"];
          pen.fillRect(left - 4, y + 7, wide + 8, 16);
          this.text(pen, text, left, y + 15.5, to - left - 7, colours.dim, 11.5);
        }
        pen.restore();
      }
    }
    drawTurns(pen, rowOf, isSeen, perStep) {
      const { story, colours } = this, last = new Map();
      const firstTurn = story.turnOf(clamp(Math.floor(this.begin), 0, story.length - 1));
      for (let turn = firstTurn; turn < story.turns.length && story.turns[turn] < this.end; turn++) {
        const begin = story.turns[turn], end = story.endOf(turn), lane = story.lane[begin], y = rowOf.get(lane);
        if (!isSeen(y)) continue;
        const x = Math.max(-6, this.x(begin)), to = Math.min(this.width + 6, this.x(end));
        const isKey = story.isKey[begin] || story.isKey[end - 1], isBad = story.kind[begin] === VIOLATION;
        if (!isKey && !isBad && to - (last.get(lane) ?? -9) < .6) continue;
        last.set(lane, to);
        pen.fillStyle = isBad ? colours.bad : isKey ? colours.key : colours.turn;
        pen.beginPath();
        if (to - x > 3) pen.roundRect(x + .5, y + 4, to - x - 1, 22, Math.min(5, (to - x) / 3));
        else pen.rect(x, y + 4, Math.max(1, to - x), 22);
        pen.fill();
        const colour = isBad ? colours.panel : isKey ? colours["key-text"] : colours["turn-text"];
        if (isBad) {
          if (perStep > 12) { pen.textAlign = "center"; this.text(pen, "✕", (x + to) / 2, y + 15.5, 30, colour, 13); pen.textAlign = "left"; }
        } else if (perStep >= 30) this.drawSteps(pen, begin, end, y, perStep, colour);
        else if (to - x > 26) {
          const lines = story.lines(begin, end).replaceAll(/[^ ]+:/g, ""), left = Math.max(x, 0) + 6, room = to - left - 4;
          pen.font = `11px ${this.mono}`;
          const shown = [lines, lines.split(/[ –]/)[0]].find((each) => pen.measureText(each).width <= room);
          if (shown) this.text(pen, shown, left, y + 15.5, room + 1, colour, 11, true);
        }
        for (let at = begin; at < end && perStep > 2; at++) {
          if (story.kind[at] === FAULT) this.drawFault(pen, this.x(at + .5), y);
        }
      }
    }
    drawSteps(pen, begin, end, y, perStep, colour) {
      const { story } = this;
      for (let at = Math.max(begin, Math.floor(this.begin)); at < end && at < this.end; at++) {
        const x = this.x(at);
        if (at > begin) {
          pen.fillStyle = this.colours.panel;
          pen.globalAlpha = .5;
          pen.fillRect(x - .5, y + 4, 1, 22);
          pen.globalAlpha = 1;
        }
        const place = story.file(at);
        if (perStep >= 76) {
          this.text(pen, story.say(at), x + 5, y + 15.5, perStep - 9, colour, 11, true);
        } else {
          const word = { [SPAWN]: "start", [SLEEP]: "sleep", [CALL]: "call", [END]: "end", [RESUME]: "on", [DRAW]: "draw" }[story.kind[at]];
          pen.textAlign = "center";
          this.text(pen, word ?? (place ? String(place[1]) : ""), x + perStep / 2, y + 15.5, perStep - 3, colour, 11, true);
          pen.textAlign = "left";
        }
      }
    }
    drawFault(pen, x, y) {
      pen.fillStyle = this.colours.bad;
      pen.strokeStyle = this.colours.panel;
      pen.lineWidth = 1.5;
      pen.beginPath();
      pen.moveTo(x, y + 5);
      pen.lineTo(x + 8, y + 20);
      pen.lineTo(x - 8, y + 20);
      pen.closePath();
      pen.fill();
      pen.stroke();
    }
    /* From one numbered moment to the next, where another goes on. */
    drawHandOvers(pen, rowOf, isSeen) {
      const { story, colours } = this;
      const between = (fromStep, fromLane, toStep, toLane, colour, thick) => {
        const a = rowOf.get(fromLane), b = rowOf.get(toLane);
        if (a === undefined || b === undefined || (!isSeen(a) && !isSeen(b))) return;
        const x = this.x(fromStep), to = this.x(toStep);
        if (to < -20 || x > this.width + 20 || a === b) return;
        const down = b > a, y = a + (down ? 26 : 4), end = b + (down ? 3 : 27);
        pen.strokeStyle = pen.fillStyle = colour;
        pen.lineWidth = thick;
        pen.beginPath();
        pen.moveTo(x, y);
        const bend = Math.max(10, Math.abs(end - y) * .35);
        pen.bezierCurveTo(x, y + (down ? bend : -bend), to, end - (down ? bend : -bend), to, end);
        pen.stroke();
        pen.beginPath();
        pen.moveTo(to, end);
        pen.lineTo(to - 4, end - (down ? 6 : -6));
        pen.lineTo(to + 4, end - (down ? 6 : -6));
        pen.closePath();
        pen.fill();
      };
      story.moments.forEach(([, end, lane, kind], number) => {
        const next = story.moments[number + 1];
        if (!next || next[3] === "violation" || next[2] === lane) return;
        if (kind === "fault" || next[3] === "fault") return;
        between(end, lane, Math.max(next[0], end), next[2], kind === "stop" ? colours.stop : colours.key, 2);
      });
    }

    drawCurves() {
      const { story, colours } = this;
      for (const { curve, peak: highest, canvas, side } of this.curves) {
        const [name, kind, bound, reached, points] = curve, pen = this.surface(canvas, CURVE);
        const most = Math.max(1, bound ?? 0, highest);
        const y = (value) => CURVE - 8 - value / most * (CURVE - 24);
        const path = new Path2D();
        path.moveTo(0, y(0));
        let level = valueAt(points, Math.floor(this.begin), 0);
        path.lineTo(0, y(level));
        let peak = level, lastX = -9;
        for (const [at, value] of points) {
          if (at <= this.begin || at > this.end) continue;
          const x = this.x(at);
          if (x - lastX < .4 && value <= peak) { level = value; continue; }
          path.lineTo(x, y(level));
          path.lineTo(x, y(value));
          level = value;
          lastX = x;
        }
        const edge = Math.min(this.width, this.x(story.length));
        path.lineTo(edge, y(level));
        const area = new Path2D(path);
        area.lineTo(edge, y(0));
        area.closePath();
        pen.fillStyle = colours["curve-soft"];
        pen.fill(area);
        if (bound !== null && most > bound) {
          pen.save();
          pen.beginPath();
          pen.rect(0, 0, this.width, y(bound));
          pen.clip();
          pen.fillStyle = colours["bad-soft"];
          pen.fill(area);
          pen.strokeStyle = colours.bad;
          pen.lineWidth = 3;
          pen.stroke(path);
          pen.restore();
          pen.save();
          pen.beginPath();
          pen.rect(0, y(bound), this.width, CURVE);
          pen.clip();
        } else pen.save();
        pen.strokeStyle = colours.curve;
        pen.lineWidth = 2;
        pen.stroke(path);
        pen.restore();
        if (bound !== null) {
          pen.strokeStyle = colours.bound;
          pen.lineWidth = 1.5;
          pen.setLineDash([6, 4]);
          pen.beginPath();
          pen.moveTo(0, y(bound));
          pen.lineTo(this.width, y(bound));
          pen.stroke();
          pen.setLineDash([]);
          const said = `${reached ? "must reach" : "allowed"} ${bound}`;
          pen.font = `11px ${this.font}`;
          const wide = pen.measureText(said).width;
          pen.fillStyle = colours.panel;
          pen.globalAlpha = .85;
          pen.fillRect(2, y(bound) - 15, wide + 6, 13);
          pen.globalAlpha = 1;
          this.text(pen, said, 5, y(bound) - 8, 120, colours.bound, 11);
        }
        const now = valueAt(points, this.at, 0);
        const what = kind === "calls" ? "calls so far" : "in flight";
        side.replaceChildren(el("b", {}, name), el("span", {}, `${what}: ${now} here, ${highest} at most`));
        const x = this.x(this.at);
        pen.fillStyle = colours.accent;
        pen.globalAlpha = .13;
        pen.fillRect(x, 0, Math.max(2, this.x(this.at + 1) - x), CURVE);
        pen.globalAlpha = 1;
      }
    }

    layMarkers() {
      const { story } = this, here = this.momentAt();
      this.markers.replaceChildren();
      let laid = 0;
      story.groups.forEach(({ begin, end, lane, kind, text }, index) => {
        const row = this.rows.indexOf(lane);
        if (row < 0 || end <= this.begin || begin >= this.end || laid >= 60) return;
        laid++;
        const x = this.x(begin);
        this.markers.append(el("button", {
          type: "button", class: `marker number ${kind}`, "data-moment": index, title: text,
          "aria-label": `${index + 1}: ${text}`, "aria-current": index === here ? "true" : "false",
          style: `left: ${LABEL + clamp(x, 12, this.width - 14)}px; top: ${row * LANE + PAD + 2}px`,
          onclick: () => this.goTo(index),
        }, String(index + 1)));
      });
      for (const button of this.why.querySelectorAll(".moment")) {
        button.setAttribute("aria-current", String(+button.dataset.moment === here));
      }
    }

    /* ---- in words ---- */

    fillOrder() {
      const { story } = this, chosen = story.turnOf(this.at), around = 60;
      const from = story.turns.length <= 2 * around ? 0 : clamp(chosen - around, 0, story.turns.length - 2 * around);
      const to = Math.min(story.turns.length, from + 2 * around);
      const list = [el("h3", {}, "What happened, in order", el("span", { class: "note" }, "Events of one step share its number"))];
      if (story.cut && from === 0) list.push(el("p", { class: "note" }, `${counted(story.cut, "event")} before are left out.`));
      if (from) list.push(el("button", { type: "button", class: "more", onclick: () => this.choose(story.turns[from - 1]) }, `${counted(from, "turn")} before`));
      for (let turn = from; turn < to; turn++) list.push(this.block(turn, turn === chosen));
      if (to < story.turns.length) list.push(el("button", { type: "button", class: "more", onclick: () => this.choose(story.turns[to]) }, `${counted(story.turns.length - to, "turn")} after`));
      this.order.replaceChildren(...list);
      const current = this.order.querySelector('.steps [aria-current="true"]');
      if (current) {
        const top = current.offsetTop, box = this.order;
        if (top < box.scrollTop + 50 || top > box.scrollTop + box.clientHeight - 50) box.scrollTop = top - box.clientHeight / 2;
      }
    }
    block(turn, isChosen) {
      const { story } = this, begin = story.turns[turn], end = story.endOf(turn), lane = story.lane[begin];
      let isKey = false;
      for (let at = begin; at < end; at++) isKey = isKey || !!story.isKey[at] || story.kind[at] === VIOLATION;
      const isOpen = isChosen || this.open.has(turn) || (isKey && end - begin <= 40);
      const moment = story.groups.findIndex((group) => group.begin >= begin && group.begin < end && group.lane === lane);
      const head = el("button", {
        type: "button", "aria-expanded": String(isOpen), onclick: () => {
          if (this.open.has(turn)) this.open.delete(turn); else this.open.add(turn);
          block.replaceWith(this.block(turn, false));
        },
      });
      if (moment >= 0) head.append(el("span", { class: `number ${story.groups[moment].kind}` }, String(moment + 1)));
      const told = story.kind[begin] === VIOLATION ? "the verdict" : counted(end - begin, "event");
      head.append(el("b", {}, story.name(lane)), el("span", { class: "dim" }, told), el("span", { class: "span" }, story.lines(begin, end)));
      const block = el("div", { class: `block ${isKey ? "is-key" : ""}` }, head);
      if (isOpen) {
        const steps = el("ol", { class: "steps" });
        const from = end - begin > 200 ? clamp(this.at - 100, begin, end - 200) : begin;
        for (let at = from; at < Math.min(end, from + 200); at++) steps.append(this.step(at));
        block.append(steps);
      }
      return block;
    }
    step(at) {
      const { story } = this, code = story.code(at), kind = story.kind[at], said = story.say(at);
      const isBad = kind === VIOLATION || kind === FAULT;
      const text = el("span", { style: "min-width: 0" });
      if (code && kind !== VIOLATION && kind !== FAULT && kind !== DRAW) text.append(el("code", {}, code));
      const how = kind === BACK ? "goes on: " : story.stopped(at) ? "has to stop before: " : "";
      text.append(el("span", { class: "said2" }, `${how}${said}${story.where(at) ? ` · ${story.where(at)}` : ""}`));
      return el("li", { class: isBad ? "is-bad" : null }, el("button", {
        type: "button", "data-step": at, "aria-current": String(at === this.at), onclick: () => this.choose(at),
      }, el("span", { class: "no" }, story.number[at].toLocaleString("en")), text));
    }
    fillDetail() {
      if (this.chosenLane >= 0) { this.fillLane(this.chosenLane); return; }
      const { story, at } = this, place = story.file(at), lane = story.lane[at];
      const parts = [el("h3", { class: "dim" }, capital(story.step(at))),
        el("p", { class: "what" }, story.kind[at] === VIOLATION ? story.say(at) : `${story.name(lane)}: ${story.say(at)}`),
        el("p", { class: "facts" }, [`t = ${seconds(story.now(at))}`, story.lanes[lane][1] === "task" ? "task" : "thread",
          place ? `${place[0]}:${place[1]}` : "no place in the code under test"].join(" · "))];
      if (place) parts.push(this.listing(place));
      if (story.stopped(at)) parts.push(el("p", { class: "note" }, `Before it does this, ${story.name(lane)} has to stop, and others go on.`));
      // Those who do the same share a row.
      const alike = new Map();
      for (const other of story.lanes.keys()) {
        const doing = story.doing(other, at), held = story.locks(other, at);
        if (!doing || (other === lane && !held.length && doing === "runs")) continue;
        const text = `${doing}${held.length ? `; holds ${held.join(", ")}` : ""}`;
        alike.set(text, [...(alike.get(text) ?? []), story.name(other)]);
      }
      const others = [...alike].slice(0, 24).map(([text, names]) => el("tr", {}, el("td", {}, some(names)), el("td", {}, text)));
      if (others.length) parts.push(el("h3", {}, "Meanwhile"), el("table", { class: "others" }, el("tbody", {}, ...others)));
      const stop = story.stop(at);
      if (stop) {
        const [number, said] = stop;
        parts.push(el("p", { class: "debug" }, "In the debugger, the replay command with ", el("code", {}, `--stop-at ${number}`), ` ${said}.`));
      }
      this.detail.replaceChildren(...parts);
    }
    listing([file, line]) {
      const { story } = this, box = el("div", { class: "source", role: "group", "aria-label": `${file}, line ${line}`, tabindex: "0" });
      for (let each = line - 3; each <= line + 3; each++) {
        const text = (story.sources[file] || {})[each];
        if (text === undefined) continue;
        box.append(el("div", { class: each === line ? "here" : null }, el("span", { class: "ln" }, String(each)), text));
      }
      return box;
    }
    fillLane(lane) {
      const { story } = this, [name, kind, , born, gone] = story.lanes[lane];
      const waits = story.waits.filter((wait) => wait[0] === lane), holds = story.holds.filter((hold) => hold[0] === lane);
      const turns = [];
      for (let turn = 0; turn < story.turns.length && turns.length < 40; turn++) {
        if (story.lane[story.turns[turn]] === lane) turns.push(turn);
      }
      const row = (at, ...text) => el("tr", {}, el("td", {}, el("button", { type: "button", onclick: () => this.choose(at) }, story.step(at))), el("td", {}, ...text));
      const table = (title, rows) => rows.length ? [el("h3", {}, title), el("table", { class: "others" }, el("tbody", {}, ...rows))] : [];
      this.detail.replaceChildren(
        el("h3", { class: "dim" }, kind === "task" ? "Task" : "Thread"), el("p", { class: "what" }, name),
        el("p", { class: "facts" }, `${counted(story.laneSteps[lane], "event")} in ${counted(story.laneTurns[lane], "turn")}; ${gone < story.length ? "has ended" : "had not ended"}`),
        ...table("Waited", waits.slice(0, 20).map((wait) => row(Math.min(wait[1], story.length - 1), `${story.texts[wait[3]]}${wait[2] >= story.length ? ", to the end" : ""}`))),
        ...table("Held", holds.slice(0, 20).map((hold) => row(Math.min(hold[1], story.length - 1), `${story.lockNames[hold[3]]}, for ${counted(hold[2] - hold[1], "event")}`))),
        ...table("Ran", turns.map((turn) => row(story.turns[turn], `${counted(story.endOf(turn) - story.turns[turn], "event")}  ${story.lines(story.turns[turn], story.endOf(turn))}`))));
    }
  }

  /* ---- the page ---- */

  const drawn = new Map();
  const open = () => {
    const wanted = location.hash.slice(1);
    const failure = /^f\d+$/.test(wanted) ? document.getElementById(wanted) : null;
    document.getElementById("overview").hidden = !!failure;
    for (const each of document.querySelectorAll(".failure")) each.hidden = each !== failure;
    if (!failure) return;
    const box = failure.querySelector(".story");
    if (box && !drawn.has(box)) {
      drawn.set(box, new Timeline(box, JSON.parse(document.getElementById(box.dataset.story).textContent)));
    }
    failure.querySelector("h2").focus({ preventScroll: true });
    // After the browser has gone to the anchor: the top of the page belongs to a failure.
    requestAnimationFrame(() => window.scrollTo(0, 0));
    document.body.dataset.shown = wanted;
  };
  window.addEventListener("hashchange", open);

  const theme = document.getElementById("theme"), themes = ["auto", "light", "dark"];
  const paint = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    theme.textContent = name[0].toUpperCase() + name.slice(1);
    theme.setAttribute("aria-label", `Colours: ${name === "auto" ? "as the system" : name}`);
    for (const timeline of drawn.values()) timeline.resize();
  };
  theme.addEventListener("click", () => paint(themes[(themes.indexOf(root.dataset.theme || "auto") + 1) % 3]));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => paint(root.dataset.theme || "auto"));
  document.addEventListener("click", async (event) => {
    if (!event.target.matches(".copy")) return;
    const code = event.target.parentElement.querySelector("code");
    try {
      await navigator.clipboard.writeText(code.textContent);
      event.target.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(code);
    }
  });
  // Of a replay there is nothing to choose.
  const cards = document.querySelectorAll(".card");
  if (!location.hash && cards.length === 1 && document.querySelectorAll(".grid .cell").length === 1) location.replace(cards[0].hash);
  open();
})();
