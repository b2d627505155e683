// What stands round the picture: title, facts, labels, legend, buttons. Texts are only ever texts.

const byId = (id) => document.getElementById(id);

/** An element with a text and, if need be, a class. */
function element(name, text, kind) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

const plural = (count, one) => `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;

function countOf({ subject, isMesh }) {
  const vertices = subject.count.toLocaleString("en");
  if (isMesh) return `${vertices} vertices, ${plural(subject.triangles, "triangle")}`;
  const drawn = subject.drawn < subject.count ? `, ${subject.drawn.toLocaleString("en")} drawn` : "";
  return `${plural(subject.count, "point")}${drawn}`;
}

/** Title, facts and warnings above the picture. */
function fillHeader() {
  byId("title").textContent = CONTENT.title;
  for (const { label, value, tone } of CONTENT.facts) {
    const item = element("li", "", tone);
    item.append(element("small", `${label} `), element("b", value));
    byId("facts").append(item);
  }
  const { warnings } = CONTENT;
  byId("warnings").hidden = !warnings.length;
  byId("warnings").querySelector("summary").textContent = plural(warnings.length, "warning");
  for (const text of warnings) byId("warnings").querySelector("ul").append(element("li", text));
}

class Bar {
  constructor(stage, figures) {
    this.stage = stage;
    this.figures = figures;
    this.offered = colourings(figures);
    const wanted = this.offered.findIndex(({ key }) => key === CONTENT.layer);
    this.chosen = Math.max(wanted, 0);
    this.withLeftOut = this.wired = false;
    this.playing = 0;
    this.moving = figures.filter(({ names }) => names.length > 1);
    // whose moments the slider goes through
    this.lead = this.moving.find(({ skin }) => skin) || this.moving[0];
    this.labels = figures.map((figure, i) => this.label(figure, i));
    this.fillColours();
    this.fillTime();
    byId("left-out").hidden = !figures.some(({ isMesh, subject }) => !isMesh && subject.kept < subject.drawn);
    byId("wire").hidden = !figures.some(({ isMesh }) => isMesh);
    byId("overlay").hidden = figures.length < 2;
    byId("follow").hidden = !CONTENT.way;
    byId("follow").onclick = () => this.follow();
    press("follow", WAY.followed);
    byId("overlay").onclick = () => this.overlay();
    byId("left-out").onclick = () => this.leftOut();
    byId("wire").onclick = () => this.wire();
    byId("reset").onclick = () => this.reset();
    byId("theme").onclick = () => this.theme();
    byId("colours").onchange = (event) => this.colour(event.target.selectedIndex);
    stage.onresize = () => this.placeLabels();
    stage.step = () => this.step();
    this.theme(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
    this.colour(this.chosen);
  }

  label(figure, index) {
    const { subject } = figure;
    const box = element("div", "", "label");
    const name = element("button");
    name.type = "button";
    name.setAttribute("aria-pressed", "true");
    name.title = `Show or hide (${index + 1})`;
    const dot = element("i", "", "dot");
    dot.style.background = `rgb(${ROLE_COLOURS[subject.role].join(",")})`;
    name.append(dot, subject.name);
    name.onclick = () => this.toggle(index);
    const more = element("small", [countOf(figure), subject.note].filter(Boolean).join(" · "));
    const stats = element("small");
    const moment = element("small", figure.names.length > 2 ? figure.momentName() : "");
    const turn = element("button", "⟳", "turn");
    turn.type = "button";
    turn.title = "Turn by 45° (Y turns all)";
    turn.setAttribute("aria-label", `Turn ${subject.name} by 45°`);
    turn.onclick = () => this.turn(subject.family);
    const row = element("span", "", "row");
    row.append(name, turn);
    box.append(row, more, moment, stats);
    byId("labels").append(box);
    return { box, stats, name, moment };
  }

  /** The labels where their figures are, which have to make room for them. */
  placeLabels() {
    const { stage } = this;
    const high = Math.max(...this.labels.map(({ box }) => box.offsetHeight)) + 4;
    if (!stage.overlaid && Math.abs(high - stage.top) > 1) {
      stage.top = high;
      if (!stage.touched) stage.frame(false);
    }
    const cells = this.stage.cells();
    byId("labels").classList.toggle("overlaid", this.stage.overlaid);
    this.labels.forEach(({ box }, i) => {
      const cell = cells[this.stage.overlaid ? 0 : i];
      box.style.width = this.stage.overlaid ? "" : `${cell.width}px`;
      box.style.transform = this.stage.overlaid ? "" : `translate(${cell.left}px, ${cell.y}px)`;
    });
  }

  fillColours() {
    const list = byId("colours");
    this.offered.forEach(({ name }) => list.append(element("option", name)));
  }

  /** Colour by the offer at a place; it comes round at the end. */
  colour(place) {
    this.chosen = (place + this.offered.length) % this.offered.length;
    byId("colours").selectedIndex = this.chosen;
    const { key } = this.offered[this.chosen];
    this.figures.forEach((figure, i) => {
      paint(figure, i, key);
      this.labels[i].stats.textContent = statsOf(i, key);
      this.labels[i].name.firstChild.hidden = key !== PLAIN;
    });
    const legend = legendOf(key);
    byId("legend").hidden = !legend;
    if (legend) {
      byId("legend").querySelector(".name").textContent = legend.name;
      byId("legend").querySelector(".scale").style.background = legend.scale;
      const [from, to] = byId("legend").querySelectorAll("b");
      from.textContent = legend.from;
      to.textContent = legend.to;
    }
    this.placeLabels();
    this.stage.draw();
  }

  fillTime() {
    const slider = byId("slider");
    byId("time").hidden = !this.moving.length;
    if (!this.moving.length) return;
    const { names } = this.lead;
    byId("first").textContent = byId("first").title = names[0];
    byId("last").textContent = byId("last").title = names.at(-1);
    this.seconds = CONTENT.seconds || (names.length > 2 ? Math.max(names.length / 15, 1) : 1.4);
    slider.value = this.lead.share;
    slider.oninput = () => { this.stop(); this.go(Number(slider.value)); };
    byId("play").onclick = () => this.play();
  }

  /** Every moving figure at a share, 0 to 1, of its frames. */
  go(share) {
    const clipped = Math.min(Math.max(share, 0), 1);
    byId("slider").value = clipped;
    this.moving.forEach((figure) => figure.show(clipped));
    this.stage.follow(clipped);
    this.figures.forEach((figure, i) => {
      if (figure.names.length > 2) this.labels[i].moment.textContent = figure.momentName();
    });
    byId("slider").setAttribute("aria-valuetext", this.lead ? this.lead.momentName() : "");
    this.stage.draw();
  }

  play() {
    if (!this.moving.length) return;
    if (this.playing) return void this.stop();
    const at = Number(byId("slider").value);
    this.direction = at >= 1 ? -1 : 1;
    this.loops = this.moving.some(({ names }) => names.length > 2);
    this.playing = performance.now();
    byId("play").textContent = "❚❚";
    byId("play").setAttribute("aria-label", "Stop");
    if (this.loops && at >= 1) this.go(0);
    this.stage.draw();
  }

  stop() {
    this.playing = 0;
    byId("play").textContent = "▶";
    byId("play").setAttribute("aria-label", "Play");
  }

  /** A bit further, while it plays: to and fro between two frames, round and round of more. */
  step() {
    if (!this.playing) return;
    const now = performance.now(), past = (now - this.playing) / 1000 / this.seconds;
    this.playing = now;
    let at = Number(byId("slider").value) + (this.loops ? past : this.direction * past);
    if (this.loops) at = at > 1 ? at - Math.floor(at) : at;
    else if (at > 1 || at < 0) {
      this.direction = at > 1 ? -1 : 1;
      at = Math.min(Math.max(at, 0), 1);
    }
    this.go(at);
  }

  /** Turn a family, or all of them, by 45° about what is upright. */
  turn(family) {
    const c = Math.SQRT1_2;
    this.figures.forEach(({ subject }) => {
      if (family !== undefined && subject.family !== family) return;
      const [x, y, z] = subject.rotation;
      subject.rotation = [x.map((v, k) => c * (v + z[k])), y, z.map((v, k) => c * (v - x[k]))];
    });
    this.stage.place();
    this.stage.draw();
  }

  toggle(index) {
    const figure = this.figures[index];
    if (!figure) return;
    figure.visible = !figure.visible;
    this.labels[index].box.classList.toggle("off", !figure.visible);
    this.labels[index].name.setAttribute("aria-pressed", String(figure.visible));
    this.stage.draw();
  }

  overlay(wanted = !this.stage.overlaid) {
    if (this.figures.length < 2) return;
    this.stage.overlaid = wanted;
    press("overlay", wanted);
    this.stage.refit();
    this.placeLabels();
    this.colour(this.chosen);
  }

  /** Keep what goes somewhere in the middle, or show its way. */
  follow(wanted = !WAY.followed) {
    if (!CONTENT.way || wanted === WAY.followed) return;
    WAY.followed = wanted;
    press("follow", wanted);
    this.stage.place();
    this.stage.refit();
  }

  leftOut(wanted = !this.withLeftOut) {
    this.withLeftOut = wanted;
    press("left-out", wanted);
    this.figures.forEach((figure) => figure.leftOut(wanted));
    this.stage.draw();
  }

  wire(wanted = !this.wired) {
    this.wired = wanted;
    press("wire", wanted);
    this.figures.forEach((figure) => figure.materials.forEach((material) => { material.wireframe = wanted && figure.isMesh; }));
    this.stage.draw();
  }

  theme(name) {
    const root = document.documentElement;
    root.dataset.theme = name || (root.dataset.theme === "dark" ? "light" : "dark");
    const dark = root.dataset.theme === "dark";
    this.stage.shadows.forEach((shadow) => {
      shadow.material.uniforms.strength.value = dark ? 0.6 : 0.34;
      shadow.material.uniforms.tone.value.set(...(dark ? [0, 0, 0] : [0.1, 0.13, 0.2]));
    });
    this.stage.draw();
  }

  reset() {
    this.stop();
    this.figures.forEach((figure, i) => { if (!figure.visible) this.toggle(i); });
    this.overlay(false);
    this.leftOut(false);
    this.wire(false);
    this.colour(Math.max(this.offered.findIndex(({ key }) => key === CONTENT.layer), 0));
    this.moving.forEach((figure) => figure.show(figure.subject.begin));
    if (this.lead) this.go(this.lead.share);
    this.follow(Boolean(CONTENT.way && CONTENT.way.far));
    this.stage.view("slanted");
  }
}

function press(id, wanted) {
  byId(id).setAttribute("aria-pressed", String(wanted));
}
