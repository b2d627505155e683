// What figures are coloured by: what their files say, what they are, or values by a scale.

const GREY = [190, 196, 206];
const OWN = "own", PLAIN = "plain";
const layerCache = new Map();

/** What the page offers to colour by: a key and a name each. */
function colourings(figures) {
  const offered = [{ key: OWN, name: "as in the files" }, { key: PLAIN, name: "one each" }];
  CONTENT.layers.forEach((layer, i) => {
    if (Object.keys(layer.of).some((k) => figures[k])) offered.push({ key: i, name: layer.name });
  });
  return offered;
}

/** A layer's values by figure, and the scale's ends: its own, or 0 and what all but the largest half percent are below. */
function layerAt(index) {
  if (!layerCache.has(index)) {
    const layer = CONTENT.layers[index];
    const of = {};
    const some = [];
    for (const [place, given] of Object.entries(layer.of)) {
      const values = given.between ? distancesOf(...given.between, layer.scale) : bufferAt(given.values);
      const step = Math.max(1, Math.floor(values.length / 20000));
      let sum = 0, most = 0;
      for (let i = 0; i < values.length; i++) {
        sum += values[i];
        if (values[i] > most) most = values[i];
        if (i % step === 0) some.push(values[i]);
      }
      of[place] = { values, mean: sum / values.length, most };
    }
    some.sort((a, b) => a - b);
    const end = some.length ? some[Math.floor(0.995 * (some.length - 1))] : 0;
    const most = Math.max(...Object.values(of).map((one) => one.most), 0);
    const ends = layer.ends || [0, end || most || 1];
    layerCache.set(index, { name: layer.name, unit: layer.unit, of, ends, most });
  }
  return layerCache.get(index);
}

/** The palette's colour at a share, 0 to 1, into `out` at `at`. */
function paletteInto(share, out, at) {
  const stops = CONTENT.palette;
  const x = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const i = Math.min(Math.floor(x), stops.length - 2);
  for (let k = 0; k < 3; k++) out[at + k] = stops[i][k] + (x - i) * (stops[i + 1][k] - stops[i][k]);
  out[at + 3] = 255;
}

/** Colour figure number `place` by a key of `colourings`. */
function paint(figure, place, key) {
  const { subject, materials } = figure;
  const role = ROLE_COLOURS[subject.role];
  let tints = null; // (n, 4) bytes, of the file's vertices
  // a cloud's own colours have the light of where it was scanned in them
  const lit = figure.isMesh || key !== OWN ? 1 : 0.6;
  let textured = false;
  let plain = role;
  if (key === OWN) {
    if (subject.colors !== undefined && !figure.hasTexture) tints = rgba(bufferAt(subject.colors));
    textured = figure.hasTexture;
  } else if (key !== PLAIN) {
    const layer = layerAt(key), mine = layer.of[place];
    plain = GREY;
    if (mine) {
      tints = new Uint8Array(4 * mine.values.length);
      const [from, to] = layer.ends;
      for (let i = 0; i < mine.values.length; i++) paletteInto((mine.values[i] - from) / (to - from), tints, 4 * i);
    }
  }
  figure.tint(tints);
  materials.forEach((material, i) => {
    const part = figure.parts[i], own = key === OWN && part.color;
    const colour = own ? part.color : plain;
    material.uniforms.plain.value.set(colour[0] / 255, colour[1] / 255, colour[2] / 255);
    material.uniforms.coloured.value = tints ? 1 : 0;
    material.uniforms.textured.value = textured && part.image >= 0 ? 1 : 0;
    material.uniforms.lit.value = lit;
  });
}

function rgba(colors) {
  const four = new Uint8Array((colors.length / 3) * 4);
  for (let i = 0, k = 0; i < colors.length; i += 3, k += 4) {
    four[k] = colors[i]; four[k + 1] = colors[i + 1]; four[k + 2] = colors[i + 2]; four[k + 3] = 255;
  }
  return four;
}

/** A number with three digits that count. */
function told(value) {
  if (!value) return "0";
  const digits = Math.max(0, Math.min(20, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return digits > 6 ? value.toExponential(1) : value.toFixed(digits);
}

function legendOf(key) {
  if (key === OWN || key === PLAIN) return null;
  const layer = layerAt(key);
  const [from, to] = layer.ends;
  const over = from < to && layer.most > to * 1.01 ? ` and more (most ${told(layer.most)})` : "";
  const stops = CONTENT.palette.map((c) => `rgb(${c.join(",")})`).join(", ");
  return { name: layer.name, from: told(from), to: `${told(to)} ${layer.unit}${over}`, scale: `linear-gradient(90deg, ${stops})` };
}

/** What is said of a figure's values below its name. */
function statsOf(place, key) {
  if (key === OWN || key === PLAIN) return "";
  const layer = layerAt(key), mine = layer.of[place];
  return mine ? `mean ${told(mine.mean)}, most ${told(mine.most)} ${layer.unit}` : "";
}
