// A figure that joints move: its vertices stay as they are, and each moment has a map for each joint.

class Skin {
  /** `packed` holds four joints and shares a vertex, and (moments, joints, 3, 4) maps about the figure's middle. */
  constructor(packed) {
    this.joints = bufferAt(packed.joints);
    this.shares = bufferAt(packed.shares);
    this.maps = bufferAt(packed.maps);
    this.width = 3 * packed.count; // texels of a moment
    this.moments = packed.moments.length;
  }

  /** What the graphics card skins with; `spread` makes values of the drawn vertices of the file's. */
  equip(geometry, materials, spread) {
    geometry.setAttribute("joints", new THREE.BufferAttribute(spread(this.joints, 4), 4));
    geometry.setAttribute("shares", new THREE.BufferAttribute(spread(this.shares, 4), 4, true));
    const texture = new THREE.DataTexture(this.maps, this.width, this.moments, undefined, THREE.FloatType);
    texture.needsUpdate = true;
    for (const material of materials) material.uniforms.maps.value = texture;
  }

  /** Where vertex i of `points` is at a moment. */
  place(points, i, moment) {
    const out = [0, 0, 0];
    for (let j = 0; j < 4; j++) {
      const share = this.shares[4 * i + j] / 65535;
      if (!share) continue;
      const from = 4 * (moment * this.width + 3 * this.joints[4 * i + j]);
      for (let k = 0; k < 3; k++) {
        const at = from + 4 * k;
        out[k] += share * (this.maps[at] * points[3 * i] + this.maps[at + 1] * points[3 * i + 1] + this.maps[at + 2] * points[3 * i + 2] + this.maps[at + 3]);
      }
    }
    return out;
  }

  /** Coordinates along an axis of about `most` of the vertices and moments together, `offset` added. */
  along(row, points, most, offset) {
    const values = [];
    const moments = Math.min(this.moments, 60), count = points.length / 3;
    const step = Math.max(1, Math.floor((count * moments) / most));
    for (let m = 0; m < moments; m++) {
      const share = m / Math.max(moments - 1, 1), moment = Math.round(share * (this.moments - 1));
      const base = offset - dot(row, wayAt(share));
      for (let i = m % step; i < count; i += step) {
        const [x, y, z] = this.place(points, i, moment);
        values.push(base + row[0] * x + row[1] * y + row[2] * z);
      }
    }
    return values;
  }
}
