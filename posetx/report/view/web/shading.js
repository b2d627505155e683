// How surfaces and points are lit: by a lamp that goes with the camera, so that no side is dark.

const ROLE_COLOURS = { scan: [44, 132, 150], target: [178, 187, 202], result: [232, 152, 104], mesh: [164, 178, 206] };

const VERTEX = `
  uniform float blend; uniform float size; uniform float reach;
  #ifdef SKINNED
    uniform highp sampler2D maps; uniform int moment;
    attribute vec4 joints; attribute vec4 shares;
    vec3 carried(vec4 at, int row) {
      vec3 sum = vec3(0.0);
      row = min(row, textureSize(maps, 0).y - 1);
      for (int j = 0; j < 4; j++) {
        int c = 3 * int(joints[j] + 0.5);
        sum += shares[j] * vec3(
          dot(texelFetch(maps, ivec2(c, row), 0), at),
          dot(texelFetch(maps, ivec2(c + 1, row), 0), at),
          dot(texelFetch(maps, ivec2(c + 2, row), 0), at));
      }
      return sum;
    }
    vec3 at(vec4 rest) { return mix(carried(rest, moment), carried(rest, moment + 1), blend); }
  #endif
  attribute vec3 next; attribute vec3 turned; attribute vec4 tint;
  varying vec3 vNormal; varying vec3 vTint; varying vec2 vPlace;
  void main() {
    #ifdef SKINNED
      vec3 place = at(vec4(position, 1.0)), across = at(vec4(normal, 0.0));
    #else
      vec3 place = mix(position, next, blend), across = mix(normal, turned, blend);
    #endif
    vec4 seen = modelViewMatrix * vec4(place, 1.0);
    gl_Position = projectionMatrix * seen;
    vNormal = normalMatrix * across;
    vTint = tint.rgb;
    vPlace = uv;
    gl_PointSize = clamp(size * reach / max(-seen.z, 1e-6), 1.5, 48.0);
  }`;

const FRAGMENT = `
  uniform vec3 plain; uniform float coloured; uniform float textured; uniform float cut;
  uniform float lit; uniform float opacity; uniform sampler2D image;
  varying vec3 vNormal; varying vec3 vTint; varying vec2 vPlace;
  void main() {
    vec3 base = coloured > 0.5 ? vTint : plain;
    #ifdef DISCS
      vec2 off = gl_PointCoord - 0.5;
      if (dot(off, off) > 0.25) discard;
    #endif
    if (textured > 0.5) {
      vec4 seen = texture2D(image, vPlace);
      if (cut > 0.5 && seen.a < 0.5) discard;
      base *= seen.rgb;
    }
    if (lit > 0.0) {
      vec3 n = normalize(vNormal + vec3(0.0, 0.0, 1e-6));
      #ifdef DISCS
        if (n.z < 0.0) n = -n; // either way along a cloud's normals
      #else
        if (!gl_FrontFacing) n = -n;
      #endif
      float key = max(dot(n, normalize(vec3(-0.35, 0.55, 0.75))), 0.0);
      float fill = max(dot(n, normalize(vec3(0.8, 0.1, 0.45))), 0.0);
      float sheen = pow(max(dot(n, normalize(vec3(-0.2, 0.35, 0.92))), 0.0), 24.0);
      float light = 0.36 + 0.62 * key + 0.16 * fill;
      base = base * mix(1.0, light, lit) + 0.05 * sheen * lit;
    }
    gl_FragColor = vec4(base, opacity);
  }`;

/** A material for a part of a figure; `discs` for points, `skinned` for what joints move. */
function materialOf(discs, skinned) {
  return new THREE.ShaderMaterial({
    vertexShader: VERTEX,
    fragmentShader: FRAGMENT,
    side: THREE.DoubleSide,
    defines: { ...(discs && { DISCS: 1 }), ...(skinned && { SKINNED: 1 }) },
    uniforms: {
      blend: { value: 0 }, size: { value: 0 }, reach: { value: 1 }, plain: { value: new THREE.Vector3(0.7, 0.7, 0.7) },
      coloured: { value: 0 }, textured: { value: 0 }, cut: { value: 0 }, lit: { value: 1 }, opacity: { value: 1 },
      image: { value: null }, maps: { value: null }, moment: { value: 0 },
    },
  });
}

/** The soft shadow below a figure. */
function shadowOf() {
  const material = new THREE.ShaderMaterial({
    transparent: true,
    depthWrite: false,
    uniforms: { strength: { value: 0.3 }, tone: { value: new THREE.Vector3() } },
    vertexShader: "varying vec2 at; void main() { at = 2.0 * uv - 1.0; gl_Position = projectionMatrix * modelViewMatrix * vec4(position, 1.0); }",
    fragmentShader: "uniform float strength; uniform vec3 tone; varying vec2 at; void main() { gl_FragColor = vec4(tone, strength * pow(max(1.0 - dot(at, at), 0.0), 2.0)); }",
  });
  const mesh = new THREE.Mesh(new THREE.PlaneGeometry(1, 1), material);
  mesh.rotation.x = -Math.PI / 2;
  mesh.renderOrder = -1;
  return mesh;
}

/** An image of the page as a texture; `done` is called when it is there. */
function textureOf(place, done) {
  const { kind, data } = CONTENT.images[place];
  const texture = new THREE.Texture();
  const url = URL.createObjectURL(new Blob([bytesOf(data)], { type: kind }));
  const image = new Image();
  image.onload = () => {
    texture.image = image;
    texture.flipY = false; // places in it count from its upper left corner
    texture.wrapS = texture.wrapT = THREE.RepeatWrapping;
    texture.colorSpace = THREE.NoColorSpace;
    texture.anisotropy = 4;
    texture.needsUpdate = true;
    URL.revokeObjectURL(url);
    done(texture);
  };
  image.src = url;
  return texture;
}
