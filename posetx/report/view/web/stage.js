// The stage: where figures stand, the camera, the cells of the picture; it draws when asked to.

const FIELD = 28; // degrees of the camera, from top to bottom
const MARGIN = 1.16;
const TOP = 58; // pixels of a cell that are its label's, until that is measured
const ALIKE = 1.5; // heights that differ by less are those of people of one height
const BROAD = 1.5; // what is broader than the narrowest by more is so by its floor
const YAWS = { front: 0, side: 90, back: 180, slanted: 28 };

class Stage {
  constructor(canvas, figures) {
    this.canvas = canvas;
    this.figures = figures;
    this.overlaid = false;
    this.frames = 0;
    this.touched = false;
    this.top = TOP;
    this.renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true, powerPreference: "high-performance" });
    this.renderer.outputColorSpace = THREE.LinearSRGBColorSpace; // colours are drawn as they are
    this.renderer.autoClear = false;
    this.renderer.setScissorTest(true);
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD, 1, 0.05, 100);
    this.controls = new THREE.OrbitControls(this.camera, canvas);
    this.controls.enableDamping = !matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.controls.dampingFactor = 0.12;
    this.controls.minDistance = 0.05;
    this.controls.maxDistance = 40;
    this.controls.addEventListener("change", () => this.draw());
    this.controls.addEventListener("start", () => { this.touched = true; });
    this.shadows = figures.map(() => shadowOf());
    figures.forEach((figure, i) => this.scene.add(figure.object, this.shadows[i]));
    canvas.addEventListener("webglcontextrestored", () => this.draw());
    this.asked = false;
    this.share = figures.length ? figures[0].share : 0;
    this.pace = new Pace(this);
    this.place();
    this.view("slanted");
    new ResizeObserver(() => this.resize()).observe(canvas.parentElement);
  }

  /** Put every figure upright on the ground, families as one, in one unit. */
  place() {
    const families = new Map();
    this.figures.forEach((figure) => {
      const box = uprightBox(figure);
      const known = families.get(figure.subject.family);
      families.set(figure.subject.family, known ? { low: known.low.map((v, k) => Math.min(v, box.low[k])), high: known.high.map((v, k) => Math.max(v, box.high[k])) } : box);
    });
    const sizes = scalesOf(this.figures, families);
    this.measure(sizes);
    this.figures.forEach((figure, i) => {
      const { low, high } = families.get(figure.subject.family), scale = sizes.get(figure.subject.family);
      const origin = [(low[0] + high[0]) / 2, low[1], (low[2] + high[2]) / 2];
      const turn = figure.subject.rotation;
      const moved = turn.map((row, k) => scale * (dot(row, figure.middle) - origin[k]));
      figure.object.matrix.set(
        scale * turn[0][0], scale * turn[0][1], scale * turn[0][2], moved[0],
        scale * turn[1][0], scale * turn[1][1], scale * turn[1][2], moved[1],
        scale * turn[2][0], scale * turn[2][1], scale * turn[2][2], moved[2], 0, 0, 0, 1);
      figure.home = moved;
      figure.scale = scale;
      const size = high.map((value, k) => scale * (value - low[k]));
      figure.spacing = figure.isMesh ? 0 : scale * spacingOf(figure);
      // what is wider than it is tall brings its own ground
      const flat = Math.max(size[0], size[2]) > 1.25 * size[1];
      this.shadows[i].scale.set(flat ? 0 : 1.15 * size[0] + 0.1, flat ? 0 : 1.5 * size[2] + 0.15, 1);
    });
    this.follow(this.share);
  }

  /** Put the figures back by how far they have gone at a share of the time. */
  follow(share) {
    this.share = share;
    const way = wayAt(share);
    this.figures.forEach(({ object, subject, home, scale }) => {
      subject.rotation.forEach((row, k) => { object.matrix.elements[12 + k] = home[k] - scale * dot(row, way); });
      object.matrixWorldNeedsUpdate = true;
    });
  }

  /** How high and wide the picture of a figure has to be; a floor may be cut off. */
  measure(sizes) {
    const extents = this.figures.map((figure) => {
      const { low, high } = uprightBox(figure), scale = sizes.get(figure.subject.family);
      return high.map((value, k) => scale * (value - low[k]));
    });
    const meshes = extents.filter((_, i) => this.figures[i].isMesh);
    const asked = meshes.length ? meshes : extents;
    const widths = asked.map((size) => Math.max(size[0], 0.92 * Math.hypot(size[0], size[2])));
    this.height = Math.max(...asked.map((size) => size[1]));
    this.width = Math.min(Math.max(...widths), BROAD * Math.min(...widths));
  }

  /** Look from a side, or as at first. */
  view(name) {
    this.touched = name !== "slanted";
    this.yaw = YAWS[name];
    this.frame(name === "top");
  }

  /** The camera where all fits, from the side that it looks from now. */
  refit() {
    const way = this.camera.position.clone().sub(this.controls.target).normalize();
    const { touched } = this;
    this.frame(false);
    if (!touched) return;
    const { target } = this.controls, far = this.camera.position.distanceTo(target);
    this.camera.position.copy(target).addScaledVector(way, far);
    this.controls.update();
    this.draw();
  }

  /** The camera where all that is shown fits. */
  frame(fromTop) {
    const cell = this.cells()[0];
    const free = Math.max(cell.height - cell.top, 40) / cell.height;
    const half = Math.tan((FIELD * Math.PI) / 360);
    const tall = fromTop ? this.width : this.height;
    const far = MARGIN * Math.max(tall / 2 / half / free, this.width / 2 / (half * (cell.width / cell.height))) + this.width / 3;
    const yaw = (this.yaw * Math.PI) / 180 || 0, pitch = fromTop ? 1.55 : 0.12;
    this.still();
    // the label is above: look higher than the middle
    const lift = (1 - free) * half * far * 0.85;
    this.controls.target.set(0, this.height / 2 + (fromTop ? 0 : lift), 0);
    this.camera.position.set(Math.sin(yaw) * Math.cos(pitch) * far, this.controls.target.y + Math.sin(pitch) * far, Math.cos(yaw) * Math.cos(pitch) * far);
    this.camera.near = far / 100;
    this.camera.far = far * 12;
    this.controls.update();
    this.draw();
  }

  /** End what a drag has left of its swing. */
  still() {
    const { controls } = this, swings = controls.enableDamping;
    controls.enableDamping = false;
    controls.update();
    controls.enableDamping = swings;
  }

  /** The picture's cells, in pixels from its upper left corner: one a figure, or one for all. */
  cells() {
    const width = this.canvas.clientWidth || 1, height = this.canvas.clientHeight || 1;
    const figures = this.overlaid ? [null] : this.figures;
    const shape = this.width / Math.max(this.height, 1e-9);
    let best = null;
    for (let across = 1; across <= figures.length; across++) {
      const down = Math.ceil(figures.length / across);
      const w = width / across, h = height / down;
      const size = Math.min(w / Math.max(shape, 0.1), h - this.top);
      if (!best || size > best.size * 1.02) best = { across, w, h, size };
    }
    return figures.map((figure, i) => {
      const row = Math.floor(i / best.across);
      const inRow = Math.min(best.across, figures.length - row * best.across);
      const left = (i % best.across) * best.w + (width - inRow * best.w) / 2;
      return { figure, left, top: this.overlaid ? 0 : this.top, y: row * best.h, width: best.w, height: best.h };
    });
  }

  resize() {
    const parent = this.canvas.parentElement;
    this.renderer.setPixelRatio(this.sharpness());
    this.renderer.setSize(parent.clientWidth, parent.clientHeight, false);
    if (!this.touched) this.frame(false);
    if (this.onresize) this.onresize();
    this.render(); // at once: resizing empties the canvas
  }

  /** Pixels of the picture for each of the page's. */
  sharpness() {
    return Math.min(devicePixelRatio || 1, 2);
  }

  /** Draw with the next picture of the screen. */
  draw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      if (this.step) this.step();
      this.controls.update();
      this.pace.tick();
      this.render();
    });
  }

  render() {
    const { renderer, camera } = this;
    const whole = this.canvas.clientHeight;
    renderer.setScissor(0, 0, this.canvas.clientWidth, whole);
    renderer.clear();
    for (const cell of this.cells()) {
      camera.aspect = cell.width / cell.height;
      camera.updateProjectionMatrix();
      const bottom = whole - cell.y - cell.height;
      renderer.setViewport(cell.left, bottom, cell.width, cell.height);
      renderer.setScissor(cell.left, bottom, cell.width, cell.height);
      const reach = (cell.height * renderer.getPixelRatio()) / (2 * Math.tan((FIELD * Math.PI) / 360));
      this.figures.forEach((figure, i) => {
        const seen = figure.visible && (this.overlaid || figure === cell.figure);
        figure.object.visible = seen;
        this.shadows[i].visible = seen;
        for (const material of figure.materials) {
          material.uniforms.reach.value = reach;
          material.uniforms.size.value = 1.25 * figure.spacing * (figure.sparse || 1);
        }
      });
      renderer.render(this.scene, camera);
    }
    this.frames++;
  }
}

/** The box of a figure in its upright frame, all moments, without the few points far from all others. */
function uprightBox(figure, frames) {
  const { subject, isMesh } = figure;
  const low = [], high = [];
  subject.rotation.forEach((row) => {
    const values = figure.along(row, frames, isMesh ? subject.count : Math.max(subject.kept, 1), 60000);
    let from = values[0], to = values[values.length - 1];
    if (!isMesh && values.length > 100) {
      const a = values[Math.floor(0.01 * values.length)], b = values[Math.floor(0.99 * values.length)];
      from = Math.max(from, a - 0.06 * (b - a));
      to = Math.min(to, b + 0.06 * (b - a));
    }
    low.push(from);
    high.push(to);
  });
  return { low, high };
}

/**
 * How each family is scaled: to the height of the last figure as it is at its end, where they are
 * about as high in one unit; else by their units if these are known, so that a part stays a part.
 */
function scalesOf(figures, families) {
  const last = figures[figures.length - 1];
  const goal = heightOf(uprightBox(last, last.subject.frames.slice(-1)));
  const known = figures.every(({ subject }) => subject.metre);
  const scales = new Map();
  for (const [family] of families) {
    const mine = figures.filter(({ subject }) => subject.family === family);
    const one = mine[mine.length - 1];
    const height = heightOf(uprightBox(one, one.subject.frames.slice(-1)));
    const ratio = known ? (height / one.subject.metre) / (goal / last.subject.metre) : height / goal;
    const alike = ratio < ALIKE && ratio > 1 / ALIKE;
    if (alike || (!known && (ratio > 4 || ratio < 0.25))) scales.set(family, 1 / height);
    else scales.set(family, known ? last.subject.metre / one.subject.metre / goal : 1 / goal);
  }
  return scales;
}

function heightOf({ low, high }) {
  return Math.max(high[1] - low[1], 0.3 * (high[0] - low[0]), 1e-30);
}

/** About the distance of neighbours in a cloud that lies on a surface as large as its box's front. */
function spacingOf(figure) {
  if (figure.gap === undefined) {
    const { low, high } = uprightBox(figure, figure.subject.apart && figure.subject.frames.slice(0, 1));
    const size = high.map((value, k) => value - low[k]);
    const area = size[0] * size[1] + size[1] * size[2] + size[0] * size[2];
    figure.gap = Math.sqrt(area / Math.max(figure.subject.kept, 1));
  }
  return figure.gap;
}
