/** Where the window is over the micrograph. All sizes on screen are in CSS pixels. */

const MOST = 32;

export class View {
  /** Screen pixels over micrograph pixels. */
  scale = 1;
  /** The micrograph's pixel in the middle of the screen. */
  x = 0;
  y = 0;
  width = 1;
  height = 1;
  imageWidth = 1;
  imageHeight = 1;
  isFitted = true;

  resize(width: number, height: number): void {
    this.width = Math.max(1, width);
    this.height = Math.max(1, height);
    if (this.isFitted) this.fit();
  }

  show(imageWidth: number, imageHeight: number): void {
    const isOther = imageWidth !== this.imageWidth || imageHeight !== this.imageHeight;
    this.imageWidth = imageWidth;
    this.imageHeight = imageHeight;
    if (isOther || this.isFitted) this.fit();
  }

  get fitScale(): number {
    return Math.min(this.width / this.imageWidth, this.height / this.imageHeight);
  }

  fit(): void {
    this.scale = this.fitScale;
    this.x = this.imageWidth / 2;
    this.y = this.imageHeight / 2;
    this.isFitted = true;
  }

  /** Zoom so that the place under a point of the screen stays there. */
  zoom(factor: number, atX = this.width / 2, atY = this.height / 2): void {
    const before = this.toImage(atX, atY);
    this.scale = Math.min(MOST, Math.max(this.fitScale / 4, this.scale * factor));
    this.isFitted = false;
    this.x = before.x - (atX - this.width / 2) / this.scale;
    this.y = before.y - (atY - this.height / 2) / this.scale;
    this.clamp();
  }

  setScale(scale: number): void {
    this.zoom(scale / this.scale);
  }

  pan(dx: number, dy: number): void {
    this.x -= dx / this.scale;
    this.y -= dy / this.scale;
    this.isFitted = false;
    this.clamp();
  }

  toImage(x: number, y: number): { x: number; y: number } {
    return {
      x: this.x + (x - this.width / 2) / this.scale,
      y: this.y + (y - this.height / 2) / this.scale,
    };
  }

  toScreen(x: number, y: number): { x: number; y: number } {
    return {
      x: (x - this.x) * this.scale + this.width / 2,
      y: (y - this.y) * this.scale + this.height / 2,
    };
  }

  holds(x: number, y: number): boolean {
    return x >= -0.5 && y >= -0.5 && x < this.imageWidth - 0.5 && y < this.imageHeight - 0.5;
  }

  private clamp(): void {
    this.x = Math.min(this.imageWidth, Math.max(0, this.x));
    this.y = Math.min(this.imageHeight, Math.max(0, this.y));
  }
}
