/** Surfaces by WebGL2: textures of maps, and pictures of several maps in several places. */
import { type Rgb, type RampName, rampBytes } from "./colours";
import { type Volume, blockMaxima, partOf } from "./data";
import type { Camera } from "./camera";
import { FRAGMENT, VERTEX } from "./shaders";

const BLOCK = 8;
const EYE = 4.5;

/** One map of a picture. */
export type Layer = {
  volume: Volume;
  threshold: number;
  colour: Rgb;
  opacity: number;
  second: { volume: Volume; low: number; high: number } | null;
};

/** A place of the canvas, in parts of it from the upper left. */
export type Cell = { x: number; y: number; width: number; height: number; layers: Layer[] };

type Textures = { map: WebGLTexture; blocks: WebGLTexture; blockCount: number[]; lastUsed: number };

export class Renderer {
  readonly canvas: HTMLCanvasElement;
  private readonly gl: WebGL2RenderingContext;
  private program!: WebGLProgram;
  private places = new Map<string, WebGLUniformLocation | null>();
  private textures = new Map<Volume, Textures>();
  private ramp!: WebGLTexture;
  private rampName: RampName = "blue";
  private frame = 0;

  /** Throws where WebGL2 is missing or too weak. */
  constructor(canvas: HTMLCanvasElement) {
    const gl = canvas.getContext("webgl2", { alpha: true, antialias: false, depth: true });
    if (!gl) throw new Error("This browser draws no WebGL2.");
    this.canvas = canvas;
    this.gl = gl;
    this.begin();
  }

  /** Make what the graphics card keeps; again after it forgot everything. */
  begin(): void {
    const gl = this.gl;
    this.textures.clear();
    this.places.clear();
    const program = gl.createProgram();
    for (const [kind, text] of [
      [gl.VERTEX_SHADER, VERTEX],
      [gl.FRAGMENT_SHADER, FRAGMENT],
    ] as const) {
      const shader = gl.createShader(kind);
      if (!shader) throw new Error("The graphics card gave no shader.");
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS) && !gl.isContextLost())
        throw new Error(gl.getShaderInfoLog(shader) ?? "The shader cannot be used here.");
      gl.attachShader(program, shader);
    }
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS) && !gl.isContextLost())
      throw new Error(gl.getProgramInfoLog(program) ?? "The shader cannot be used here.");
    this.program = program;
    this.ramp = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, this.ramp);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T])
      gl.texParameteri(gl.TEXTURE_2D, side, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    this.setRamp(this.rampName);
  }

  get largest(): number {
    return Number(this.gl.getParameter(this.gl.MAX_3D_TEXTURE_SIZE)) || 256;
  }

  setRamp(name: RampName): void {
    const gl = this.gl;
    this.rampName = name;
    gl.bindTexture(gl.TEXTURE_2D, this.ramp);
    const bytes = rampBytes(name);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA8, 256, 1, 0, gl.RGBA, gl.UNSIGNED_BYTE, bytes);
  }

  /** Draw; returns how long it took, where that is asked for (which waits for it). */
  draw(
    cells: readonly Cell[],
    camera: Camera,
    how: { unitA: number; stride: number; ground: Rgb; isTimed: boolean },
  ): number {
    const { gl, canvas } = this;
    const began = performance.now();
    this.frame++;
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.disable(gl.SCISSOR_TEST);
    gl.viewport(0, 0, canvas.width, canvas.height);
    gl.clearColor(0, 0, 0, 0);
    gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
    gl.useProgram(this.program);
    gl.enable(gl.DEPTH_TEST);
    gl.enable(gl.SCISSOR_TEST);
    gl.blendFuncSeparate(gl.SRC_ALPHA, gl.ONE_MINUS_SRC_ALPHA, gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const m = camera.matrix; // its transpose, column by column, is the same list
    gl.uniformMatrix3fv(this.at("turn"), false, m);
    gl.uniform2f(this.at("pan"), camera.pan[0], camera.pan[1]);
    gl.uniform1f(this.at("zoom"), camera.zoom);
    gl.uniform1f(this.at("eye"), camera.isPerspective ? EYE : 0);
    gl.uniform1f(this.at("start"), camera.clip > 0 ? -1.2 + 2.4 * camera.clip : -2);
    gl.uniform1f(this.at("stride"), how.stride);
    gl.uniform3fv(this.at("ground"), how.ground);
    for (const cell of cells) this.drawCell(cell, how.unitA);
    if (how.isTimed) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    this.forget();
    return performance.now() - began;
  }

  private drawCell(cell: Cell, unitA: number): void {
    const { gl, canvas } = this;
    const [left, width] = [cell.x * canvas.width, cell.width * canvas.width];
    const height = cell.height * canvas.height;
    const bottom = canvas.height - cell.y * canvas.height - height;
    gl.viewport(left, bottom, width, height);
    gl.scissor(left, bottom, width, height);
    gl.uniform4f(this.at("cell"), left, bottom, width, height);
    const solid = cell.layers.filter((layer) => layer.opacity >= 1);
    for (const layer of solid) this.drawLayer(layer, unitA);
    gl.enable(gl.BLEND);
    gl.depthMask(false);
    for (const layer of cell.layers) if (layer.opacity < 1) this.drawLayer(layer, unitA);
    gl.depthMask(true);
    gl.disable(gl.BLEND);
  }

  private drawLayer(layer: Layer, unitA: number): void {
    const gl = this.gl;
    const { volume, second } = layer;
    const mine = this.textureOf(volume);
    this.bind(0, "map", gl.TEXTURE_3D, mine.map);
    this.bind(1, "blocks", gl.TEXTURE_3D, mine.blocks);
    this.bind(2, "second", gl.TEXTURE_3D, second ? this.textureOf(second.volume).map : mine.map);
    this.bind(3, "ramp", gl.TEXTURE_2D, this.ramp);
    gl.uniform3fv(this.at("size"), [...volume.size]);
    gl.uniform3fv(this.at("blockCount"), mine.blockCount);
    gl.uniform3f(this.at("blockSize"), BLOCK, BLOCK, BLOCK);
    gl.uniform1f(this.at("voxels"), unitA / volume.pixelA);
    gl.uniform1f(this.at("level"), Math.max(partOf(volume, layer.threshold), 1e-5));
    gl.uniform1f(this.at("opacity"), layer.opacity);
    gl.uniform3fv(this.at("tint"), layer.colour);
    gl.uniform1f(this.at("secondOn"), second ? 1 : 0);
    if (second) {
      const { volume: other, low, high } = second;
      gl.uniform3fv(this.at("secondSize"), [...other.size]);
      gl.uniform1f(this.at("secondVoxels"), unitA / other.pixelA);
      gl.uniform2f(this.at("secondRange"), partOf(other, low), partOf(other, high));
    }
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  private textureOf(volume: Volume): Textures {
    const known = this.textures.get(volume);
    if (known) {
      known.lastUsed = this.frame;
      return known;
    }
    const blocks = blockMaxima(volume, BLOCK);
    const made = {
      map: this.upload(volume.size, volume.bits, this.gl.LINEAR),
      blocks: this.upload(blocks.size, blocks.bits, this.gl.NEAREST),
      blockCount: blocks.size,
      lastUsed: this.frame,
    };
    this.textures.set(volume, made);
    return made;
  }

  private upload(size: readonly number[], bits: Uint16Array, filter: number): WebGLTexture {
    const gl = this.gl;
    const texture = gl.createTexture();
    const [x = 1, y = 1, z = 1] = size;
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_3D, texture);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    gl.texImage3D(gl.TEXTURE_3D, 0, gl.R16F, x, y, z, 0, gl.RED, gl.HALF_FLOAT, bits);
    for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R])
      gl.texParameteri(gl.TEXTURE_3D, side, gl.CLAMP_TO_EDGE);
    gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MIN_FILTER, filter);
    gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MAG_FILTER, filter);
    return texture;
  }

  private bind(unit: number, name: string, target: number, texture: WebGLTexture): void {
    const gl = this.gl;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(target, texture);
    gl.uniform1i(this.at(name), unit);
  }

  private at(name: string): WebGLUniformLocation | null {
    const known = this.places.get(name);
    if (known !== undefined) return known;
    const found = this.gl.getUniformLocation(this.program, name);
    this.places.set(name, found);
    return found;
  }

  /** Let go of maps that were not drawn for a while. */
  private forget(): void {
    for (const [volume, { map, blocks, lastUsed }] of this.textures) {
      if (this.frame - lastUsed < 40) continue;
      this.gl.deleteTexture(map);
      this.gl.deleteTexture(blocks);
      this.textures.delete(volume);
    }
  }

  destroy(): void {
    this.gl.getExtension("WEBGL_lose_context")?.loseContext();
  }
}
