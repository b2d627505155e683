// A figure: one subject's geometry, where it stands, and which of its moments is shown.
//
// Moments are frames of the same vertices, blended; or, of a skin, maps for its joints, blended; or frames
// that stand apart, one after the other, which may have other points each.

class Figure {
  constructor(subject, changed) {
    this.subject = subject;
    this.changed = changed;
    this.visible = true;
    this.share = subject.begin;
    this.isMesh = subject.triangles !== undefined;
    this.source = subject.source === undefined ? null : bufferAt(subject.source);
    this.faces = this.isMesh ? bufferAt(subject.faces) : null;
    this.middle = subject.frames[0].origin;
    this.frames = subject.frames.map(() => null);
    this.skin = subject.skin ? new Skin(subject.skin) : null;
    this.names = subject.skin ? subject.skin.moments : subject.frames.map(({ name }) => name);
    this.begins = [0]; // of the frames, among all their points
    subject.frames.forEach(({ buffer }) => this.begins.push(this.begins.at(-1) + bufferAt(buffer).length / 3));
    this.tints = null;
    this.shown = -1;
    this.geometry = new THREE.BufferGeometry();
    this.geometry.boundingSphere = new THREE.Sphere(new THREE.Vector3(), Infinity);
    this.parts = subject.parts || [{ begin: 0, end: subject.triangles || 0, color: null, image: -1, cut: false }];
    this.materials = this.parts.map(() => materialOf(!this.isMesh, this.skin));
    if (this.isMesh) {
      const groups = this.parts.map(({ begin, end }) => [3 * begin, 3 * (end - begin)]);
      this.fine = { index: new THREE.BufferAttribute(this.faces, 1), groups };
      this.draw(this.fine);
    }
    if (subject.uv) this.geometry.setAttribute("uv", new THREE.BufferAttribute(uvOf(subject.uv), 2));
    this.object = this.isMesh
      ? new THREE.Mesh(this.geometry, this.materials)
      : new THREE.Points(this.geometry, this.materials[0]);
    this.object.matrixAutoUpdate = false;
    this.object.frustumCulled = false;
    if (this.skin) this.skin.equip(this.geometry, this.materials, (values, width) => this.spread(values, width));
    this.leftOut(false);
    this.show(this.share);
    this.loadImages();
  }

  loadImages() {
    const textures = new Map();
    this.parts.forEach((part, i) => {
      this.materials[i].uniforms.cut.value = part.cut ? 1 : 0;
      if (part.image < 0) return;
      if (!textures.has(part.image)) textures.set(part.image, textureOf(part.image, () => this.changed()));
      this.materials[i].uniforms.image.value = textures.get(part.image);
    });
    this.hasTexture = textures.size > 0;
  }

  /** Positions of the vertices as the file has them, about `middle`, and normals, as drawn. */
  frame(index) {
    if (!this.frames[index]) {
      const points = pointsOf(this.subject.frames[index], this.middle);
      const drawn = this.spread(points, 3);
      const normals = this.isMesh ? this.spread(this.normals(points), 3) : this.cloudNormals(index);
      this.frames[index] = {
        points,
        position: new THREE.BufferAttribute(drawn, 3),
        normal: new THREE.BufferAttribute(normals, 3),
      };
    }
    return this.frames[index];
  }

  /** The normals of a cloud, which are the same at all moments, but where they stand apart. */
  cloudNormals(index) {
    const signs = this.own(bufferAt(this.subject.normals), 3, index);
    return Float32Array.from(signs, (sign) => (sign - 128) / 127);
  }

  /** Of values of all points of frames that stand apart those of one of them. */
  own(values, width, index) {
    return this.subject.apart ? values.subarray(width * this.begins[index], width * this.begins[index + 1]) : values;
  }

  /** Colour the vertices, (n, 4) bytes; null for one colour for all. */
  tint(tints) {
    this.tints = tints;
    this.setTint();
  }

  setTint() {
    if (!this.tints) return void this.geometry.deleteAttribute("tint");
    const shown = this.spread(this.own(this.tints, 4, this.shown), 4);
    this.geometry.setAttribute("tint", new THREE.BufferAttribute(shown, 4, true));
  }

  /** Values of the file's vertices as those of the drawn ones, which are more at an image's seams. */
  spread(values, width) {
    if (!this.source) return values;
    const drawn = new values.constructor(this.source.length * width);
    for (let i = 0; i < this.source.length; i++) {
      for (let k = 0; k < width; k++) drawn[i * width + k] = values[this.source[i] * width + k];
    }
    return drawn;
  }

  /** Unit normals of the file's vertices: the mean of their triangles', by area. */
  normals(points) {
    const sums = new Float32Array(points.length);
    const { faces, source } = this;
    const place = this.subject.place === undefined ? null : bufferAt(this.subject.place);
    const corner = [0, 0, 0];
    for (let f = 0; f < faces.length; f += 3) {
      for (let k = 0; k < 3; k++) corner[k] = source ? source[faces[f + k]] : faces[f + k];
      const a = 3 * corner[0], b = 3 * corner[1], c = 3 * corner[2];
      const ux = points[b] - points[a], uy = points[b + 1] - points[a + 1], uz = points[b + 2] - points[a + 2];
      const vx = points[c] - points[a], vy = points[c + 1] - points[a + 1], vz = points[c + 2] - points[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      for (let k = 0; k < 3; k++) {
        const at = 3 * (place ? place[corner[k]] : corner[k]);
        sums[at] += x; sums[at + 1] += y; sums[at + 2] += z;
      }
    }
    const normals = place ? new Float32Array(points.length) : sums;
    for (let i = 0; i < points.length / 3; i++) {
      const at = 3 * (place ? place[i] : i);
      const long = Math.hypot(sums[at], sums[at + 1], sums[at + 2]) || 1;
      const x = sums[at] / long, y = sums[at + 1] / long, z = sums[at + 2] / long;
      normals[3 * i] = x; normals[3 * i + 1] = y; normals[3 * i + 2] = z;
    }
    return normals;
  }

  /** Coordinates along an axis (a row of three) of about `most` of the first `count` vertices, of all moments or some frames. */
  along(row, frames, count, most) {
    if (this.skin && !frames) {
      return this.skin.along(row, this.frame(0).points, most, dot(row, this.middle)).sort((a, b) => a - b);
    }
    const values = [], given = frames || this.subject.frames;
    const step = Math.max(1, Math.floor((count * given.length) / most));
    for (const [index, packed] of given.entries()) {
      const grid = bufferAt(packed.buffer), size = packed.step;
      const gone = frames ? 0 : dot(row, wayAt(this.timeOf(index)));
      const base = dot(row, packed.origin) - gone;
      for (let i = 0; i < Math.min(3 * count, grid.length); i += 3 * step) {
        values.push(base + size * (row[0] * grid[i] + row[1] * grid[i + 1] + row[2] * grid[i + 2]));
      }
    }
    return values.sort((a, b) => a - b);
  }

  /** The share of the time at which a moment is. */
  timeOf(index) {
    return this.subject.times ? this.subject.times[index] : index / Math.max(this.names.length - 1, 1);
  }

  /** Which moment a share, 0 to 1, of the time is at, and how much of the next one is in it. */
  at(share) {
    const { times, apart } = this.subject;
    if (times) return [times.reduce((best, time, i) => (Math.abs(time - share) < Math.abs(times[best] - share) ? i : best), 0), 0];
    const steps = this.names.length - 1;
    const at = Math.min(Math.max(share, 0), 1) * steps;
    if (apart) return [Math.round(at), 0];
    const index = Math.min(Math.floor(at), Math.max(steps - 1, 0));
    return [index, at - index];
  }

  /** Show a share, 0 to 1, of the way through the moments: the two next to it, blended, if they do not stand apart. */
  show(share) {
    this.share = share;
    const [index, blend] = this.at(share);
    if (this.skin) for (const material of this.materials) material.uniforms.moment.value = index;
    if (index !== this.shown && !(this.skin && this.shown >= 0)) {
      const last = this.frames.length - 1;
      const one = this.frame(Math.min(index, last)), other = this.subject.apart ? one : this.frame(Math.min(index + 1, last));
      this.geometry.setAttribute("position", one.position);
      this.geometry.setAttribute("normal", one.normal);
      this.geometry.setAttribute("next", other.position);
      this.geometry.setAttribute("turned", other.normal);
    }
    const other = index !== this.shown;
    this.shown = index;
    if (other && this.subject.apart && this.tints) this.setTint();
    for (const material of this.materials) material.uniforms.blend.value = blend;
  }

  /** The name of the moment that is nearest. */
  momentName() {
    const [index, blend] = this.at(this.share);
    return this.names[Math.min(index + Math.round(blend), this.names.length - 1)];
  }

  /** Draw the triangles of an index, one group a material. */
  draw({ index, groups }) {
    this.geometry.setIndex(index);
    this.geometry.clearGroups();
    groups.forEach(([begin, count], i) => this.geometry.addGroup(begin, count, i));
  }

  /** Fewer triangles or points of what has many, or all of them. */
  setCoarse(coarse) {
    if (!this.isMesh) return void this.coarsePoints(coarse);
    if (coarse && this.few === undefined) this.few = coarseOf(this);
    this.draw((coarse && this.few) || this.fine);
  }

  coarsePoints(coarse) {
    if (this.subject.apart) return; // few points each
    const count = this.withLeftOut ? this.subject.drawn : this.subject.kept;
    const few = coarse ? fewerPoints(count) : null;
    this.sparse = few ? Math.sqrt(count / few.count) : 1; // how much larger its points have to be
    this.geometry.setIndex(few);
    this.geometry.setDrawRange(0, few ? few.count : count);
  }

  /** Also draw what cleaning took out of a cloud. */
  leftOut(wanted) {
    this.withLeftOut = wanted;
    if (!this.isMesh) this.coarsePoints(false);
  }

  /** Where vertex i is now, in the file's frame. */
  vertex(i) {
    const blend = this.materials[0].uniforms.blend.value, next = Math.min(this.shown + 1, this.names.length - 1);
    const placeAt = (moment) => (this.skin ? this.skin.place(this.frame(0).points, i, moment) : [...this.frame(moment).points.subarray(3 * i, 3 * i + 3)]);
    const one = placeAt(this.shown), other = blend ? placeAt(next) : one;
    return [0, 1, 2].map((k) => this.middle[k] + (1 - blend) * one[k] + blend * other[k]);
  }
}
