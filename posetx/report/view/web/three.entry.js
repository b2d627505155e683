// What of three.js is in three.min.js, which is made of it in a folder with `npm install three@0.187.0 esbuild`:
//
//   npx esbuild three.entry.js --bundle --minify --format=iife --global-name=THREE --target=es2020 \
//     --legal-comments=none --outfile=three.min.js \
//     --banner:js='/* three.js r187, MIT licence, see three.LICENSE.txt */'

export {
  BufferAttribute, BufferGeometry, DataTexture, DoubleSide, FloatType, LinearSRGBColorSpace, Mesh, NoColorSpace,
  PerspectiveCamera, PlaneGeometry, Points, RepeatWrapping, Scene, ShaderMaterial, Sphere, Texture, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
