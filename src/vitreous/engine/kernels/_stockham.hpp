// Stockham's algorithm (radix 4 and primes up to 43) on short vectors, for _planes.cpp, which
// includes this file once for each type of number, Number.
//
// Each lane of a vector is a column (or a row) of its own, so that no step of a transform mixes lanes,
// and all of it stays in the fastest cache. Rows of real numbers are complex ones of half the length.

typedef Number Lane __attribute__((vector_size(sizeof(Number) * W)));
struct Pair {
  Lane re, im;
};

struct Step {
  int radix, rest;                // rest: transforms that are left are so long
  std::vector<Number> twiddles;    // cosine and sine for each place and input but the first
  std::vector<Number> circle;      // cosine and sine of k / radix turns, where it is above 7
};

struct Plan {
  int n;
  std::vector<Step> steps;
  std::vector<Number> turns;  // cosine and sine of k / 2n turns, for rows of 2n real numbers
};

Plan make_plan(int n) {
  Plan plan{n, {}, {}};
  for (int left = n; left > 1;) {
    const int radix = radix_of(left);
    Step step{radix, left / radix, {}, {}};
    for (int k = 0; radix > 7 && k < radix; ++k) {
      step.circle.push_back(Number(std::cos(TAU * k / radix)));
      step.circle.push_back(Number(std::sin(TAU * k / radix)));
    }
    for (int q = 0; q < step.rest; ++q)
      for (int j = 1; j < radix; ++j) {
        const double angle = -TAU * double(q) * j / left;
        step.twiddles.push_back(Number(std::cos(angle)));
        step.twiddles.push_back(Number(std::sin(angle)));
      }
    left = step.rest;
    plan.steps.push_back(std::move(step));
  }
  for (int k = 0; k <= n; ++k) {
    plan.turns.push_back(Number(std::cos(TAU * k / (2.0 * n))));
    plan.turns.push_back(Number(std::sin(TAU * k / (2.0 * n))));
  }
  return plan;
}

const Plan& plan_of(int n) {
  static std::mutex lock;
  static std::map<int, std::unique_ptr<Plan>> plans;
  const std::lock_guard<std::mutex> held(lock);
  auto& plan = plans[n];
  if (!plan) plan = std::make_unique<Plan>(make_plan(n));
  return *plan;
}

template <int P>
struct Circle {
  Number cosine[P], sine[P];
  Circle() {
    for (int k = 0; k < P; ++k) {
      cosine[k] = Number(std::cos(TAU * k / P));
      sine[k] = Number(std::sin(TAU * k / P));
    }
  }
};
template <int P>
const Circle<P> circle;

INLINE Pair sum(Pair a, Pair b) { return {a.re + b.re, a.im + b.im}; }
INLINE Pair difference(Pair a, Pair b) { return {a.re - b.re, a.im - b.im}; }

// A transform of P numbers, P odd: pairs of inputs that lie opposite share their products.
template <int P>
INLINE void small(Pair* x) {
  constexpr int H = P / 2;
  Pair plus[H], minus[H];
  Pair total = x[0];
  for (int j = 0; j < H; ++j) {
    plus[j] = sum(x[1 + j], x[P - 1 - j]);
    minus[j] = difference(x[1 + j], x[P - 1 - j]);
    total = sum(total, plus[j]);
  }
  Pair out[P];
  for (int k = 1; k <= H; ++k) {
    Pair a = x[0], b{};
    for (int j = 0; j < H; ++j) {
      const Number c = circle<P>.cosine[(j + 1) * k % P], s = circle<P>.sine[(j + 1) * k % P];
      a = {a.re + c * plus[j].re, a.im + c * plus[j].im};
      b = {b.re + s * minus[j].re, b.im + s * minus[j].im};
    }
    out[k] = {a.re + b.im, a.im - b.re};
    out[P - k] = {a.re - b.im, a.im + b.re};
  }
  x[0] = total;
  for (int k = 1; k < P; ++k) x[k] = out[k];
}
template <>
INLINE void small<2>(Pair* x) {
  const Pair a = x[0], b = x[1];
  x[0] = sum(a, b);
  x[1] = difference(a, b);
}
template <>
INLINE void small<4>(Pair* x) {
  const Pair a = sum(x[0], x[2]), b = difference(x[0], x[2]), c = sum(x[1], x[3]),
             d = difference(x[1], x[3]);
  x[0] = sum(a, c);
  x[1] = {b.re + d.im, b.im - d.re};
  x[2] = difference(a, c);
  x[3] = {b.re - d.im, b.im + d.re};
}

template <int P>
INLINE void step_of(const Step& step, int stride, const Pair* from, Pair* to) {
  const int rest = step.rest;
  for (int q = 0; q < rest; ++q) {
    const Number* w = step.twiddles.data() + size_t(q) * (P - 1) * 2;
    for (int i = 0; i < stride; ++i) {
      Pair x[P];
      for (int j = 0; j < P; ++j) x[j] = from[i + stride * (q + rest * j)];
      small<P>(x);
      Pair* out = to + i + stride * P * q;
      out[0] = x[0];
      for (int j = 1; j < P; ++j) {
        const Number c = w[2 * j - 2], s = w[2 * j - 1];
        out[stride * j] = q ? Pair{x[j].re * c - x[j].im * s, x[j].re * s + x[j].im * c} : x[j];
      }
    }
  }
}

// The same as `small` for any odd number.
INLINE void small_any(Pair* x, int p, const Number* turns) {
  Pair plus[kLargestPrime / 2], minus[kLargestPrime / 2], out[kLargestPrime];
  const int h = p / 2;
  out[0] = x[0];
  for (int j = 0; j < h; ++j) {
    plus[j] = sum(x[1 + j], x[p - 1 - j]);
    minus[j] = difference(x[1 + j], x[p - 1 - j]);
    out[0] = sum(out[0], plus[j]);
  }
  for (int k = 1; k <= h; ++k) {
    Pair a = x[0], b{};
    for (int j = 0, at = k; j < h; ++j, at += at + k < p ? k : k - p) {
      const Number c = turns[2 * at], s = turns[2 * at + 1];
      a = {a.re + c * plus[j].re, a.im + c * plus[j].im};
      b = {b.re + s * minus[j].re, b.im + s * minus[j].im};
    }
    out[k] = {a.re + b.im, a.im - b.re};
    out[p - k] = {a.re - b.im, a.im + b.re};
  }
  for (int k = 0; k < p; ++k) x[k] = out[k];
}

INLINE void step_of_any(const Step& step, int stride, const Pair* from, Pair* to) {
  const int rest = step.rest, p = step.radix;
  for (int q = 0; q < rest; ++q) {
    const Number* w = step.twiddles.data() + size_t(q) * (p - 1) * 2;
    for (int i = 0; i < stride; ++i) {
      Pair x[kLargestPrime];
      for (int j = 0; j < p; ++j) x[j] = from[i + stride * (q + rest * j)];
      small_any(x, p, step.circle.data());
      Pair* out = to + i + stride * p * q;
      out[0] = x[0];
      for (int j = 1; j < p; ++j) {
        const Number c = w[2 * j - 2], s = w[2 * j - 1];
        out[stride * j] = {x[j].re * c - x[j].im * s, x[j].re * s + x[j].im * c};
      }
    }
  }
}

// Transforms what lies in `a`; returns where the result is, `a` or `b`.
INLINE Pair* transform(const Plan& plan, Pair* a, Pair* b) {
  int stride = 1;
  for (const Step& step : plan.steps) {
    switch (step.radix) {
      case 2: step_of<2>(step, stride, a, b); break;
      case 3: step_of<3>(step, stride, a, b); break;
      case 4: step_of<4>(step, stride, a, b); break;
      case 5: step_of<5>(step, stride, a, b); break;
      case 7: step_of<7>(step, stride, a, b); break;
      default: step_of_any(step, stride, a, b);
    }
    stride *= step.radix;
    std::swap(a, b);
  }
  return a;
}

INLINE Lane load(const Number* p) {
  Lane found;
  std::memcpy(&found, p, sizeof found);
  return found;
}
INLINE void store(Number* p, Lane value) { std::memcpy(p, &value, sizeof value); }

// Exchanges rows and columns of W vectors.
INLINE void transpose(Lane* t) {
  for (int i = 0; i < W; ++i)
    if (!(i & 4)) {
      const Lane a = t[i], b = t[i + 4];
      t[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
      t[i + 4] = __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
    }
  for (int i = 0; i < W; ++i)
    if (!(i & 2)) {
      const Lane a = t[i], b = t[i + 2];
      t[i] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
      t[i + 2] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    }
  for (int i = 0; i < W; ++i)
    if (!(i & 1)) {
      const Lane a = t[i], b = t[i + 1];
      t[i] = __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
      t[i + 1] = __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    }
}

// At most W complex columns side by side: `stride` numbers lie between the places of one. What is
// read may be what is written.
EVERY_ISA void columns(const Number* from, Number* to, int64_t stride, int n_columns, const Plan& plan,
                       bool back, Number scale, Pair* a, Pair* b) {
  const int n = plan.n;
  Number some[2 * W] = {};
  const int n_some = 2 * n_columns;
  for (int j = 0; j < n; ++j) {
    const Number* p = from + j * stride;
    if (n_some < 2 * W) p = static_cast<Number*>(std::memcpy(some, p, n_some * sizeof(Number)));
    const Lane u = load(p), v = load(p + W);
    const Lane re = __builtin_shufflevector(u, v, 0, 2, 4, 6, 8, 10, 12, 14);
    const Lane im = __builtin_shufflevector(u, v, 1, 3, 5, 7, 9, 11, 13, 15);
    a[j] = back ? Pair{im, re} : Pair{re, im};
  }
  const Pair* found = transform(plan, a, b);
  for (int j = 0; j < n; ++j) {
    const Lane re = (back ? found[j].im : found[j].re) * scale;
    const Lane im = (back ? found[j].re : found[j].im) * scale;
    const Lane u = __builtin_shufflevector(re, im, 0, 8, 1, 9, 2, 10, 3, 11);
    const Lane v = __builtin_shufflevector(re, im, 4, 12, 5, 13, 6, 14, 7, 15);
    Number* p = to + j * stride;
    if (n_some < 2 * W) {
      store(some, u);
      store(some + W, v);
      std::memcpy(p, some, n_some * sizeof(Number));
    } else {
      store(p, u);
      store(p + W, v);
    }
  }
}

// Moves numbers of W rows into vectors, a row in each lane, or back; a missing row is not touched.
INLINE void gather(const Number* rows, int64_t stride, int n_rows, int n, Lane* to) {
  for (int x = 0; x < n; x += W) {
    Lane t[W] = {};
    if (n_rows == W && x + W <= n)
      for (int r = 0; r < W; ++r) t[r] = load(rows + r * stride + x);
    else
      for (int r = 0; r < n_rows; ++r)
        std::memcpy(&t[r], rows + r * stride + x, std::min(W, n - x) * sizeof(Number));
    transpose(t);
    for (int j = 0; j < W; ++j) to[x + j] = t[j];
  }
}
INLINE void scatter(const Lane* from, int n, Number* rows, int64_t stride, int n_rows) {
  for (int x = 0; x < n; x += W) {
    Lane t[W];
    for (int j = 0; j < W; ++j) t[j] = from[x + j];
    transpose(t);
    if (n_rows == W && x + W <= n)
      for (int r = 0; r < W; ++r) store(rows + r * stride + x, t[r]);
    else
      for (int r = 0; r < n_rows; ++r)
        std::memcpy(rows + r * stride + x, &t[r], std::min(W, n - x) * sizeof(Number));
  }
}

bool is_zero(const Number* rows, int64_t stride, int n_rows, int n) {
  for (int r = 0; r < n_rows; ++r)
    for (int x = 0; x < n; ++x)
      if (rows[r * stride + x] != Number(0)) return false;
  return true;
}

// The first `keep` numbers of the half transforms of at most W real rows; rows of zeros, of which a
// masked map has many, stay what they are.
EVERY_ISA void rows_forward(const Number* rows, int n_rows, const Plan& plan, Number scale, int keep,
                            Number* out, Pair* a, Pair* b) {
  const int m = plan.n, nx = 2 * m;
  if (is_zero(rows, nx, n_rows, nx)) {
    std::fill(out, out + int64_t(n_rows) * 2 * keep, Number(0));
    return;
  }
  gather(rows, nx, n_rows, nx, &a->re);
  Pair* z = transform(plan, a, b);
  Pair* x = z == a ? b : a;
  const Number half = Number(0.5) * scale;
  for (int k = 0; k < keep; ++k) {
    const Pair p = z[k % m], q = z[(m - k) % m];
    const Pair even{p.re + q.re, p.im - q.im}, odd{p.im + q.im, q.re - p.re};
    const Number c = plan.turns[2 * k], s = -plan.turns[2 * k + 1];
    x[k] = {half * (even.re + c * odd.re - s * odd.im), half * (even.im + c * odd.im + s * odd.re)};
  }
  scatter(&x->re, 2 * keep, out, 2 * keep, n_rows);
}

// At most W real rows of half transforms; what is imaginary in their first and last numbers does
// not count.
EVERY_ISA void rows_back(const Number* transformed, int n_rows, const Plan& plan, Number* real, Pair* a,
                         Pair* b) {
  const int m = plan.n, nx = 2 * m;
  gather(transformed, nx + 2, n_rows, nx + 2, &b->re);
  b[0].im = b[m].im = Lane{};
  for (int k = 0; k < m; ++k) {
    const Pair p = b[k], q = b[m - k];
    const Pair even{p.re + q.re, p.im - q.im}, odd{p.re - q.re, p.im + q.im};
    const Number c = plan.turns[2 * k], s = plan.turns[2 * k + 1];
    const Lane re = even.re - (c * odd.im + s * odd.re), im = even.im + (c * odd.re - s * odd.im);
    a[k] = {im, re};  // real and imaginary part change places, so that it is the inverse
  }
  Pair* z = transform(plan, a, b);
  for (int j = 0; j < m; ++j) z[j] = {z[j].im, z[j].re};
  scatter(&z->re, nx, real, nx, n_rows);
}

// At most W rows of complex numbers, transformed back: their real and their imaginary parts, where
// there is a place for them.
EVERY_ISA void complex_rows_back(const Number* rows, int n_rows, const Plan& plan, Number* re,
                                 Number* im, Pair* a, Pair* b) {
  const int n = plan.n;
  gather(rows, 2 * n, n_rows, 2 * n, &a->re);
  for (int k = 0; k < n; ++k) a[k] = {a[k].im, a[k].re};
  const Pair* z = transform(plan, a, b);
  Lane* half = &(z == a ? b : a)->re;
  for (int k = 0; re && k < n; ++k) half[k] = z[k].im;
  if (re) scatter(half, n, re, n, n_rows);
  for (int k = 0; im && k < n; ++k) half[k] = z[k].re;
  if (im) scatter(half, n, im, n, n_rows);
}

EVERY_ISA void multiply(const Number* real, const Number* complex, int64_t n, Number* out) {
  for (int64_t i = 0; i < n; ++i) {
    out[2 * i] = real[i] * complex[2 * i];
    out[2 * i + 1] = real[i] * complex[2 * i + 1];
  }
}

// Numbers of a row from `first` on; before and behind it its ends are repeated.
EVERY_ISA void cut_row(const float* row, int64_t first, int64_t nx, int n, Number* out) {
  if (first >= 0 && first + n <= nx)
    for (int x = 0; x < n; ++x) out[x] = row[first + x];
  else
    for (int x = 0; x < n; ++x) out[x] = row[std::clamp<int64_t>(first + x, 0, nx - 1)];
}

// Two buffers of vectors for one thread.
struct Room {
  explicit Room(int n)
      : size(n + W), memory(static_cast<Pair*>(std::aligned_alloc(64, 2 * size * sizeof(Pair)))) {
    if (!memory) throw std::bad_alloc();
  }
  Room(const Room&) = delete;
  Room(Room&& other) noexcept : size(other.size), memory(std::exchange(other.memory, nullptr)) {}
  ~Room() { std::free(memory); }
  Pair* a() { return memory; }
  Pair* b() { return memory + size; }
  size_t size;
  Pair* memory;
};
