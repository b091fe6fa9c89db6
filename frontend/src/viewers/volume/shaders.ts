/** The surface of a map by ray casting: one triangle covers the picture, each pixel is a ray. */

export const VERTEX = `#version 300 es
void main() {
  vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp sampler3D;
uniform sampler3D map, blocks, second;
uniform sampler2D ramp;
uniform vec4 cell;        // x, y, width, height in pixels of the canvas
uniform mat3 turn;        // picture to map
uniform vec2 pan;
uniform float zoom, eye, start, stride;
uniform vec3 size, blockCount, blockSize;
uniform float voxels;     // voxels in a unit of the scene
uniform float level, opacity, secondOn, secondVoxels;
uniform vec3 secondSize;
uniform vec2 secondRange;
uniform vec3 tint, ground;
out vec4 colour;

vec3 place(vec3 p) { return (p * voxels + floor(size * 0.5) + 0.5) / size; }
float density(vec3 p) { return texture(map, place(p)).r; }

vec3 slope(vec3 p) {
  float h = 1.0 / voxels;
  vec3 d = vec3(h, 0.0, 0.0);
  vec3 near = vec3(
    density(p + d.xyy) - density(p - d.xyy),
    density(p + d.yxy) - density(p - d.yxy),
    density(p + d.yyx) - density(p - d.yyx));
  vec3 e = vec3(1.6 * h, -1.6 * h, 0.0);
  // Corners too: a surface between eight voxels has fewer terraces then.
  vec3 far = e.xxx * density(p + e.xxx) + e.xyy * density(p + e.xyy)
    + e.yxy * density(p + e.yxy) + e.yyx * density(p + e.yyx);
  return near + 0.5 * far / h;
}

float openness(vec3 p, vec3 n) {
  float shut = 0.0, weight = 1.0, all = 0.0;
  for (int k = 1; k <= 5; k++) {
    float reach = float(k * k) * 0.5 + 0.8;
    float there = density(p + n * reach / voxels);
    shut += weight * smoothstep(level * 0.55, level * 1.15, there);
    all += weight;
    weight *= 0.82;
  }
  return 1.0 - 0.75 * shut / all;
}

void main() {
  vec2 uv = 2.0 * (gl_FragCoord.xy - cell.xy) / cell.zw - 1.0;
  vec2 at = vec2(uv.x * cell.z / cell.w, -uv.y) * zoom;
  vec3 from = eye > 0.0 ? vec3(pan, -eye) : vec3(at + pan, -2.0);
  vec3 along = eye > 0.0 ? normalize(vec3(at, eye)) : vec3(0.0, 0.0, 1.0);
  vec3 o = turn * from, d = turn * along;
  vec3 low = -floor(size * 0.5) / voxels, high = low + (size - 1.0) / voxels;
  vec3 inverse = 1.0 / (d + vec3(equal(d, vec3(0.0))) * 1e-9);
  vec3 a = (low - o) * inverse, b = (high - o) * inverse;
  vec3 first = min(a, b), last = max(a, b);
  float t = max(max(first.x, first.y), max(first.z, 0.0));
  float end = min(last.x, min(last.y, last.z));
  float cut = (start - from.z) / along.z;
  bool isCut = start > -1.99 && cut > t;
  t = max(t, cut);
  if (t >= end) discard;
  float step_ = stride / voxels;
  bool isHit = false;
  vec3 cells = size / blockSize;
  vec3 rate = d * voxels / blockSize;
  vec3 rateInverse = 1.0 / (rate + vec3(equal(rate, vec3(0.0))) * 1e-9);
  float began = t;
  for (int i = 0; i < 2600; i++) {
    if (t > end) break;
    vec3 p = o + d * t;
    vec3 inBlocks = place(p) * cells;
    if (texelFetch(blocks, ivec3(clamp(inBlocks, vec3(0.0), blockCount - 1.0)), 0).r < level) {
      vec3 inside = fract(inBlocks);
      vec3 way = (step(0.0, rate) - inside) * rateInverse;
      t += max(min(way.x, min(way.y, way.z)), 0.0) + 0.02 / voxels;
      continue;
    }
    if (density(p) >= level) { isHit = true; break; }
    t += step_;
  }
  if (!isHit) discard;
  bool isCap = isCut && t == began;
  float before = t - step_;
  if (!isCap) for (int i = 0; i < 7; i++) {
    float middle = 0.5 * (before + t);
    if (density(o + d * middle) >= level) t = middle; else before = middle;
  }
  vec3 p = o + d * t;
  vec3 base = tint;
  if (secondOn > 0.5) {
    vec3 q = (p * secondVoxels + floor(secondSize * 0.5) + 0.5) / secondSize;
    float value = texture(second, q).r;
    float part = clamp((value - secondRange.x) / max(secondRange.y - secondRange.x, 1e-6), 0.0, 1.0);
    base = texture(ramp, vec2(part, 0.5)).rgb;
  }
  vec3 inPicture = vec3(0.0, 0.0, 0.0);
  if (isCap) {
    float more = clamp((density(p) - level) / max(3.0 * level, 1e-6), 0.0, 1.0);
    inPicture = base * mix(0.62, 1.0, more);
  } else {
    vec3 n = normalize(-slope(p) + 1e-12);
    float open = openness(p, n);
    vec3 seen = n * turn;      // the transpose turns back
    vec3 light = normalize(vec3(-0.35, -0.55, -0.85));
    float facing = max(dot(seen, light), 0.0);
    float rim = max(dot(seen, normalize(vec3(0.7, 0.4, -0.35))), 0.0);
    vec3 middle = normalize(light + vec3(0.0, 0.0, -1.0));
    float shine = pow(max(dot(seen, middle), 0.0), 28.0);
    float lit = (0.34 + 0.14 * rim) * open + 0.66 * facing * mix(0.55, 1.0, open);
    inPicture = base * lit * 1.06 + vec3(0.13) * shine * open;
  }
  float depth = from.z + along.z * t;
  inPicture = mix(inPicture, ground, clamp(0.16 * (depth + 0.25), 0.0, 0.16) * opacity);
  colour = vec4(inPicture, opacity);
  gl_FragDepth = clamp((depth + 2.0) / 4.0, 0.0, 1.0);
}`;
