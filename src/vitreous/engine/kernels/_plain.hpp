// The loops that benchmarks compare with: slices one after the other, rows one after the other.
//
// Included by each instruction set's copy. This is how the prototype of spec/performance.md did it
// in C: a row is located in a pass that the compiler vectorises, then each pixel is read or written
// four numbers at a time. No tiles, no prefetching, no slabs.

namespace vitreous::VITREOUS_ISA {
namespace {

struct Row {
  static constexpr int kMost = 4096;
  alignas(64) uint32_t index[kMost];
  alignas(64) float fx[kMost], fy[kMost], fz[kMost], sign[kMost];

  void locate(const Geometry& g, const float* m, int ky, int count) {
    const float x0 = m[1] * ky, y0 = m[3] * ky, z0 = m[5] * ky, centre = float(g.centre);
    const int width = g.width, plane = g.side * g.width;
    for (int kx = 0; kx < count; ++kx) {
      float x = kx * m[0] + x0, y = kx * m[2] + y0, z = kx * m[4] + z0;
      const float s = x < 0.f ? -1.f : 1.f;
      x *= s, y = y * s + centre, z = z * s + centre;
      const int ix = int(x), iy = int(y), iz = int(z);
      fx[kx] = x - ix, fy[kx] = y - iy, fz[kx] = z - iz, sign[kx] = s;
      index[kx] = uint32_t(iz * plane + iy * width + ix);
    }
  }
};

}  // namespace

void plain_gather(const Geometry& g, const float* volume, const float* planes, int64_t n,
                  float* out) {
  Row row;
  const int64_t y_step = 2 * int64_t(g.width), z_step = y_step * g.side;
  for (int64_t image = 0; image < n; ++image)
    for (int y = 0; y < g.rows; ++y) {
      const int count = g.row_ends[y];
      row.locate(g, planes + 6 * image, y <= g.rows / 2 ? y : y - g.rows, count);
      float* to = out + 2 * (image * g.image_stride + g.row_offsets[y]);
      for (int i = 0; i < count; ++i) {
        const float* at = volume + 2 * int64_t(row.index[i]);
        const float4v a = load(at), b = load(at + y_step);
        const float4v c = load(at + z_step), d = load(at + z_step + y_step);
        const float4v low = a + row.fy[i] * (b - a), high = c + row.fy[i] * (d - c);
        const float4v pair = low + row.fz[i] * (high - low);
        to[2 * i] = pair[0] + row.fx[i] * (pair[2] - pair[0]);
        to[2 * i + 1] = row.sign[i] * (pair[1] + row.fx[i] * (pair[3] - pair[1]));
      }
    }
}

void plain_insert(const Geometry& g, float* grid, const float* planes, int64_t n,
                  const float* values, const float* weights) {
  Row row;
  const int64_t y_step = 4 * int64_t(g.width), z_step = y_step * g.side;
  auto add = [](float* p, float4v value) {
    value += load(p);
    std::memcpy(p, &value, sizeof value);
  };
  for (int64_t image = 0; image < n; ++image)
    for (int y = 0; y < g.rows; ++y) {
      const int count = g.row_ends[y], ky = y <= g.rows / 2 ? y : y - g.rows;
      row.locate(g, planes + 6 * image, ky, count);
      const int64_t pixel = image * g.image_stride + g.row_offsets[y];
      const float *v = values + 2 * pixel, *w = weights + pixel;
      for (int i = ky < 0 ? 1 : 0; i < count; ++i) {
        if (!(w[i] > 0.f)) continue;
        const float4v value = {v[2 * i], row.sign[i] * v[2 * i + 1], w[i], 0.f};
        const float4v far = row.fx[i] * value, near = value - far;
        const float4v far1 = row.fy[i] * far, near1 = row.fy[i] * near;
        float* at = grid + 4 * int64_t(row.index[i]);
        auto both = [&](float* p, float4v whole) {
          const float4v above = row.fz[i] * whole;
          add(p, whole - above);
          add(p + z_step, above);
        };
        both(at, near - near1);
        both(at + 4, far - far1);
        both(at + y_step, near1);
        both(at + y_step + 4, far1);
      }
    }
}

}  // namespace vitreous::VITREOUS_ISA
