import { describe, expect, it } from "vitest";

import { Camera } from "../src/viewers/volume/camera";

describe("the camera", () => {
  it("widens for a map that has grown", () => {
    const camera = new Camera();
    camera.fitTo(0.5);
    expect(camera.zoom).toBeCloseTo(0.54);
    camera.fitTo(0.7);
    expect(camera.zoom).toBeCloseTo(0.756);
  });

  it("stays where somebody put it, and a reset goes to all of the map", () => {
    const camera = new Camera();
    camera.fitTo(0.5);
    camera.scale(2);
    const chosen = camera.zoom;
    camera.fitTo(0.7);
    expect(camera.zoom).toBe(chosen);
    camera.reset();
    expect(camera.zoom).toBeCloseTo(0.756);
  });
});
