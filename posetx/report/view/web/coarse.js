// Fewer triangles or points of what is large while it moves on a slow machine: the same vertices, another index.

const MANY = 60000; // triangles or points that any machine draws fluently
const GOAL = 8000; // vertices of a coarse mesh, about
const FEW_POINTS = 24000; // of a coarse cloud

/** Some of a cloud's first points, evenly; null of a small one. */
function fewerPoints(count) {
  if (count <= MANY) return null;
  const index = new Uint32Array(FEW_POINTS);
  for (let i = 0; i < FEW_POINTS; i++) index[i] = Math.floor((i * count) / FEW_POINTS);
  return new THREE.BufferAttribute(index, 1);
}

/** The index and groups of a mesh whose vertices that are near each other are one; null of a small one. */
function coarseOf(figure) {
  const { faces, parts } = figure;
  if (!figure.isMesh || faces.length / 3 <= MANY) return null;
  const points = figure.frame(figure.skin ? 0 : figure.shown).position.array;
  const count = points.length / 3;
  let long = 0;
  const step = 3 * Math.max(1, Math.floor(faces.length / 3 / 4000));
  for (let f = 0, k = 1; f < faces.length; f += step, k++) {
    const a = 3 * faces[f], b = 3 * faces[f + 1];
    long += (Math.hypot(points[a] - points[b], points[a + 1] - points[b + 1], points[a + 2] - points[b + 2]) - long) / k;
  }
  // cells this many edges wide have about that many vertices of a surface
  const cell = long * Math.sqrt(count / GOAL) || 1;
  const first = new Map();
  const stands = new Uint32Array(count);
  for (let i = 0; i < count; i++) {
    const x = Math.floor(points[3 * i] / cell), y = Math.floor(points[3 * i + 1] / cell), z = Math.floor(points[3 * i + 2] / cell);
    const key = ((x * 92821 + y) * 92821 + z) | 0;
    if (!first.has(key)) first.set(key, i);
    stands[i] = first.get(key);
  }
  const index = [], groups = [];
  for (const part of parts) {
    const begin = index.length;
    for (let f = 3 * part.begin; f < 3 * part.end; f += 3) {
      const a = stands[faces[f]], b = stands[faces[f + 1]], c = stands[faces[f + 2]];
      if (a !== b && b !== c && c !== a) index.push(a, b, c);
    }
    groups.push([begin, index.length - begin]);
  }
  return { index: new THREE.BufferAttribute(Uint32Array.from(index), 1), groups };
}

/** Watches how fast pictures follow each other, and has large meshes drawn coarsely while that is slow. */
class Pace {
  constructor(stage) {
    this.stage = stage;
    this.last = -1e9;
    this.gap = 16;
    this.coarse = false;
    this.rest = 0;
    this.run = 0; // pictures since the last pause
  }

  /** To be called with each picture. */
  tick() {
    const now = performance.now(), gap = now - this.last;
    this.last = now;
    this.run = gap < SLOWEST ? this.run + 1 : 0;
    if (this.run) this.gap += 0.35 * (gap - this.gap);
    if (this.gap > SLOW && this.run > ENOUGH) this.set(true);
    clearTimeout(this.rest);
    if (this.coarse) this.rest = setTimeout(() => this.set(false), Math.max(RESTED, 4 * this.gap));
  }

  set(coarse) {
    if (coarse === this.coarse) return;
    this.coarse = coarse;
    const { stage } = this;
    stage.figures.forEach((figure) => figure.setCoarse(coarse));
    stage.renderer.setPixelRatio(coarse ? ROUGH : stage.sharpness());
    if (!coarse) {
      this.last = -1e9; // the fine picture takes its time, which says nothing of the next ones
      stage.render();
    }
  }
}

const SLOW = 60; // milliseconds between two pictures
const ROUGH = 0.7; // pixels of the picture, each way, for one of the page's, meanwhile
const SLOWEST = 4000; // longer ones are pauses
const ENOUGH = 4; // pictures of one movement that tell how slow it is
const RESTED = 500; // milliseconds after which nothing moves any more
