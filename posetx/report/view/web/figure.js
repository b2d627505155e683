// A figure: one subject's geometry, where it stands, and which of its frames is shown.

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
    this.shown = -1;
    this.geometry = new THREE.BufferGeometry();
    this.geometry.boundingSphere = new THREE.Sphere(new THREE.Vector3(), Infinity);
    this.parts = subject.parts || [{ begin: 0, end: subject.triangles || 0, color: null, image: -1, cut: false }];
    this.materials = this.parts.map(() => materialOf(!this.isMesh));
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
      const normals = this.isMesh ? this.spread(this.normals(points), 3) : this.cloudNormals();
      this.frames[index] = {
        points,
        position: new THREE.BufferAttribute(drawn, 3),
        normal: new THREE.BufferAttribute(normals, 3),
      };
    }
    return this.frames[index];
  }

  /** The normals of a cloud, which are the same at all moments. */
  cloudNormals() {
    const signs = bufferAt(this.subject.normals);
    return Float32Array.from(signs, (sign) => (sign - 128) / 127);
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

  /** Coordinates along an axis (a row of three) of about `most` of the first `count` vertices at some moments. */
  along(row, frames, count, most) {
    const values = [];
    const step = Math.max(1, Math.floor((count * frames.length) / most));
    for (const packed of frames) {
      const grid = bufferAt(packed.buffer), size = packed.step;
      const base = row[0] * packed.origin[0] + row[1] * packed.origin[1] + row[2] * packed.origin[2];
      for (let i = 0; i < 3 * count; i += 3 * step) {
        values.push(base + size * (row[0] * grid[i] + row[1] * grid[i + 1] + row[2] * grid[i + 2]));
      }
    }
    return values.sort((a, b) => a - b);
  }

  /** Show a share, 0 to 1, of the way through the frames: the two next to it, blended. */
  show(share) {
    this.share = share;
    const steps = this.subject.frames.length - 1;
    const at = Math.min(Math.max(share, 0), 1) * steps;
    const index = Math.min(Math.floor(at), Math.max(steps - 1, 0));
    if (index !== this.shown) {
      const one = this.frame(index), other = this.frame(Math.min(index + 1, steps));
      this.geometry.setAttribute("position", one.position);
      this.geometry.setAttribute("normal", one.normal);
      this.geometry.setAttribute("next", other.position);
      this.geometry.setAttribute("turned", other.normal);
      this.shown = index;
    }
    for (const material of this.materials) material.uniforms.blend.value = at - index;
  }

  /** The name of the frame that is nearest. */
  frameName() {
    const frames = this.subject.frames;
    return frames[Math.round(Math.min(Math.max(this.share, 0), 1) * (frames.length - 1))].name;
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
    const steps = this.subject.frames.length - 1;
    const blend = this.materials[0].uniforms.blend.value;
    const one = this.frame(this.shown).points, other = this.frame(Math.min(this.shown + 1, steps)).points;
    return [0, 1, 2].map((k) => this.middle[k] + (1 - blend) * one[3 * i + k] + blend * other[3 * i + k]);
  }
}
