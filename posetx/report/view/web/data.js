// The page's data: JSON in the page, with arrays in base64, decoded once and when they are needed.

const CONTENT = JSON.parse(document.getElementById("data").textContent);
const KINDS = { u8: Uint8Array, u16: Uint16Array, u32: Uint32Array, f32: Float32Array };
const decoded = new Map();

const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];

/** Whether what goes somewhere is kept in the middle. */
const WAY = { followed: Boolean(CONTENT.way && CONTENT.way.far) };

/** How far what is followed has gone at a share, 0 to 1, of the time, in its files' frame. */
function wayAt(share) {
  if (!WAY.followed) return [0, 0, 0];
  const { places } = CONTENT.way, at = Math.min(Math.max(share, 0), 1) * (places.length - 1);
  const index = Math.min(Math.floor(at), Math.max(places.length - 2, 0)), next = Math.min(index + 1, places.length - 1);
  return places[index].map((value, k) => value + (at - index) * (places[next][k] - value));
}

/** The bytes of base64. */
function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const signs = atob(text);
  const bytes = new Uint8Array(signs.length);
  for (let i = 0; i < signs.length; i++) bytes[i] = signs.charCodeAt(i);
  return bytes;
}

/** The flat array at a place of the page's buffers. */
function bufferAt(place) {
  if (!decoded.has(place)) {
    const buffer = CONTENT.buffers[place];
    decoded.set(place, new KINDS[buffer.kind](bytesOf(buffer.data).buffer));
    buffer.data = null; // the text is no longer needed
  }
  return decoded.get(place);
}

/** Points on a grid as floats (x, y, z, x, …) about `middle`, which keeps their digits. */
function pointsOf(packed, middle) {
  const grid = bufferAt(packed.buffer);
  const points = new Float32Array(grid.length);
  const from = packed.origin.map((value, axis) => value - middle[axis]);
  for (let i = 0; i < grid.length; i += 3) {
    points[i] = grid[i] * packed.step + from[0];
    points[i + 1] = grid[i + 1] * packed.step + from[1];
    points[i + 2] = grid[i + 2] * packed.step + from[2];
  }
  return points;
}

/** Places in an image (u, v, u, …). */
function uvOf(packed) {
  const grid = bufferAt(packed.buffer);
  const uv = new Float32Array(grid.length);
  for (let i = 0; i < grid.length; i++) uv[i] = grid[i] * packed.step[i % 2] + packed.origin[i % 2];
  return uv;
}

/** How far apart two sets of points are, point by point. */
function distancesOf(one, other, scale) {
  const middle = one.origin;
  const a = pointsOf(one, middle), b = pointsOf(other, middle);
  const far = new Float32Array(a.length / 3);
  for (let i = 0, k = 0; k < far.length; i += 3, k++) {
    far[k] = scale * Math.hypot(a[i] - b[i], a[i + 1] - b[i + 1], a[i + 2] - b[i + 2]);
  }
  return far;
}
