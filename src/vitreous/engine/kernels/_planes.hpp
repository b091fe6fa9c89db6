// Transforms of planes, rows and columns, shared between threads, for _planes.cpp, which includes this
// file once for each type of number, Number. What a column becomes never depends on the threads.

using Real = nb::ndarray<Number, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using ReadOnly = nb::ndarray<const Number, nb::ndim<3>, nb::c_contig, nb::device::cpu>;
using Half = nb::ndarray<Number, nb::ndim<4>, nb::c_contig, nb::device::cpu>;

template <class A>
void check(const A& real, const Half& half) {
  if (real.shape(0) != half.shape(0) || real.shape(1) != half.shape(1) || half.shape(3) != 2 ||
      real.shape(2) % 2 || real.shape(2) / 2 + 1 != half.shape(2))
    throw std::invalid_argument("planes: the transform does not fit the map");
}

// Calls `work` with the number of each piece and room for transforms of up to `longest` numbers.
template <class Work>
void share(int64_t n_pieces, int64_t numbers, int longest, int threads, Work work) {
  if (n_pieces == 0) return;
  const int n_threads = numbers < kFew ? 1 : int(std::min<int64_t>(std::max(1, threads), n_pieces));
  std::vector<Room> rooms;
  for (int t = 0; t < n_threads; ++t) rooms.emplace_back(longest);
#pragma omp parallel for num_threads(n_threads) schedule(static) if (n_threads > 1)
  for (int64_t piece = 0; piece < n_pieces; ++piece) {
    Room& room = rooms[size_t(omp_get_thread_num())];
    work(piece, room.a(), room.b());
  }
}

// A stack of planes of complex numbers, and the length of a transform along x.
struct Stack {
  int n, ny, n_columns, along_x;
  int row() const { return 2 * n_columns; }
  int64_t numbers() const { return int64_t(ny) * row(); }
  int longest() const { return std::max(along_x, ny); }
  int64_t plane(int64_t z) const { return z * ny * row(); }
  // Whether each thread takes whole planes, which then stay in its cache.
  bool is_small(int threads) const { return threads <= 1 || (n > 1 && numbers() < kInCache); }

  // `rows` and `along` get the number of a plane and of a group of rows or columns in it.
  template <class Rows, class Columns>
  void each(int threads, bool rows_first, Rows rows, Columns along) const {
    const int n_rows = groups(ny), n_along = groups(n_columns);
    if (is_small(threads)) {
      share(n, n * numbers(), longest(), threads, [&](int64_t z, Pair* a, Pair* b) {
        for (int g = 0; rows_first && g < n_rows; ++g) rows(z, g, a, b);
        for (int g = 0; g < n_along; ++g) along(z, g, a, b);
        for (int g = 0; !rows_first && g < n_rows; ++g) rows(z, g, a, b);
      });
      return;
    }
    for (int64_t z = 0; z < n; ++z)
      for (int turn = 0; turn < 2; ++turn)
        if ((turn == 0) == rows_first)
          share(n_rows, numbers(), longest(), threads,
                [&](int64_t g, Pair* a, Pair* b) { rows(z, int(g), a, b); });
        else
          share(n_along, numbers(), longest(), threads,
                [&](int64_t g, Pair* a, Pair* b) { along(z, int(g), a, b); });
  }
};

void forward(ReadOnly real, Half out, int threads) {
  check(real, out);
  const int nx = int(real.shape(2));
  const Stack s{int(real.shape(0)), int(real.shape(1)), nx / 2 + 1, nx / 2};
  const Plan &along_x = plan_of(nx / 2), &along_y = plan_of(s.ny);
  const Number* from = real.data();
  Number* to = out.data();
  nb::gil_scoped_release release;
  const Number scale = Number(1) / (Number(nx) * Number(s.ny));
  s.each(
      threads, true,
      [&](int64_t z, int g, Pair* a, Pair* b) {
        rows_forward(from + (z * s.ny + W * g) * nx, part(s.ny, g), along_x, scale,
                     s.n_columns, to + s.plane(z) + int64_t(W) * g * s.row(), a, b);
      },
      [&](int64_t z, int g, Pair* a, Pair* b) {
        Number* start = to + s.plane(z) + 2 * W * g;
        columns(start, start, s.row(), part(s.n_columns, g), along_y, false, Number(1), a, b);
      });
}

// `between` takes what is left after half of the work; it may be the transform itself.
void back(Half transform, Half between, Real real, int threads) {
  check(real, transform);
  check(real, between);
  const int nx = int(real.shape(2));
  const Stack s{int(real.shape(0)), int(real.shape(1)), nx / 2 + 1, nx / 2};
  const Plan &along_x = plan_of(nx / 2), &along_y = plan_of(s.ny);
  const Number* from = transform.data();
  Number *middle = between.data(), *to = real.data();
  nb::gil_scoped_release release;
  s.each(
      threads, false,
      [&](int64_t z, int g, Pair* a, Pair* b) {
        rows_back(middle + s.plane(z) + int64_t(W) * g * s.row(), part(s.ny, g), along_x,
                  to + (z * s.ny + W * g) * nx, a, b);
      },
      [&](int64_t z, int g, Pair* a, Pair* b) {
        const int64_t start = s.plane(z) + 2 * W * g;
        columns(from + start, middle + start, s.row(), part(s.n_columns, g), along_y, true, Number(1), a,
                b);
      });
}

// Products of real planes with one complex plane, back: real and imaginary parts of as many as there
// are places for.
void products_back(ReadOnly factors, ReadOnly plane, Real re, Real im, int threads) {
  const int n = int(factors.shape(0)), ny = int(factors.shape(1)), nx = int(factors.shape(2));
  const auto fits = [&](const Real& part) {
    return int(part.shape(0)) <= n && int(part.shape(1)) == ny && int(part.shape(2)) == nx;
  };
  if (int(plane.shape(0)) != ny || int(plane.shape(1)) != nx || plane.shape(2) != 2 ||
      !fits(re) || !fits(im))
    throw std::invalid_argument("planes: the products do not fit");
  const Plan &along_x = plan_of(nx), &along_y = plan_of(ny);
  const int64_t size = int64_t(ny) * nx, n_re = int64_t(re.shape(0)), n_im = int64_t(im.shape(0));
  const Number *from = factors.data(), *other = plane.data();
  Number *to_re = re.data(), *to_im = im.data();
  nb::gil_scoped_release release;
  std::vector<std::vector<Number>> products(size_t(std::max(1, threads)));
  for (auto& product : products) product.resize(size_t(2 * size));
  share(n, n * size, std::max(nx, ny), threads, [&](int64_t z, Pair* a, Pair* b) {
    Number* product = products[size_t(omp_get_thread_num())].data();
    multiply(from + z * size, other, size, product);
    for (int g = 0; g < groups(nx); ++g)
      columns(product + 2 * W * g, product + 2 * W * g, 2 * nx, part(nx, g), along_y, true,
              Number(1), a, b);
    for (int g = 0; g < groups(ny); ++g) {
      const int64_t row = int64_t(W) * g * nx, at = z * size + row;
      complex_rows_back(product + 2 * row, part(ny, g), along_x, z < n_re ? to_re + at : nullptr,
                        z < n_im ? to_im + at : nullptr, a, b);
    }
  });
}

// The first numbers of the half transforms of rows.
void rows(nb::ndarray<const Number, nb::ndim<2>, nb::c_contig, nb::device::cpu> real,
          nb::ndarray<Number, nb::ndim<3>, nb::c_contig, nb::device::cpu> out, int threads) {
  const int n = int(real.shape(0)), nx = int(real.shape(1)), keep = int(out.shape(1));
  if (int(out.shape(0)) != n || nx % 2 || keep > nx / 2 + 1 || out.shape(2) != 2)
    throw std::invalid_argument("planes: the transforms do not fit the rows");
  const Plan& plan = plan_of(nx / 2);
  const Number* from = real.data();
  Number* to = out.data();
  nb::gil_scoped_release release;
  share(groups(n), int64_t(n) * nx, nx / 2, threads, [&](int64_t g, Pair* a, Pair* b) {
    rows_forward(from + W * g * nx, part(n, int(g)), plan, Number(1) / Number(nx), keep,
                 to + W * g * 2 * keep, a, b);
  });
}

// Boxes of an image, resampled to fewer pixels; what lies outside is the nearest pixel of the edge.
void rescaled_boxes(nb::ndarray<const float, nb::ndim<2>, nb::c_contig, nb::device::cpu> image,
                    nb::ndarray<const int64_t, nb::ndim<2>, nb::c_contig, nb::device::cpu> first,
                    int box, Real out, int threads) {
  const int64_t n = int64_t(out.shape(0)), ny = int64_t(image.shape(0)), nx = int64_t(image.shape(1));
  const int size = int(out.shape(1)), keep = size / 2 + 1, row = 2 * keep;
  if (int64_t(first.shape(0)) != n || first.shape(1) != 2 || int(out.shape(2)) != size || size % 2 ||
      box % 2 || size > box || ny < 1 || nx < 1)
    throw std::invalid_argument("planes: the boxes do not fit");
  const Plan &rows_of_box = plan_of(box / 2), &columns_of_box = plan_of(box);
  const Plan &columns_left = plan_of(size), &rows_left = plan_of(size / 2);
  const float* from = image.data();
  const int64_t* corner = first.data();
  Number* to = out.data();
  nb::gil_scoped_release release;
  const Number scale = Number(1) / (Number(box) * Number(box));
  struct Buffers {
    std::vector<Number> rows, half;
  };
  std::vector<Buffers> buffers(size_t(std::max(1, threads)));
  share(n, n * box * box, box, threads, [&](int64_t i, Pair* a, Pair* b) {
    Buffers& mine = buffers[size_t(omp_get_thread_num())];
    mine.rows.resize(size_t(W) * size_t(box));
    mine.half.resize(size_t(box) * size_t(row));
    Number* half = mine.half.data();
    for (int g = 0; g < groups(box); ++g) {
      const int n_rows = part(box, g);
      for (int r = 0; r < n_rows; ++r) {
        const float* line = from + std::clamp<int64_t>(corner[2 * i + 1] + W * g + r, 0, ny - 1) * nx;
        cut_row(line, corner[2 * i], nx, box, mine.rows.data() + int64_t(r) * box);
      }
      rows_forward(mine.rows.data(), n_rows, rows_of_box, scale, keep, half + int64_t(W) * g * row, a, b);
    }
    for (int g = 0; g < groups(keep); ++g)
      columns(half + 2 * W * g, half + 2 * W * g, row, part(keep, g), columns_of_box, false, Number(1),
              a, b);
    const int n_negative = (size - 1) / 2;  // rows of the frequencies that are kept move together
    std::memmove(half + int64_t(keep) * row, half + int64_t(box - n_negative) * row,
                 size_t(n_negative) * size_t(row) * sizeof(Number));
    for (int g = 0; g < groups(keep); ++g)
      columns(half + 2 * W * g, half + 2 * W * g, row, part(keep, g), columns_left, true, Number(1), a,
              b);
    for (int g = 0; g < groups(size); ++g)
      rows_back(half + int64_t(W) * g * row, part(size, g), rows_left,
                to + (i * size + W * g) * size, a, b);
  });
}

void along_z(Half transform, int first, int end, int width, bool is_back, int threads) {
  const int nz = int(transform.shape(0)), ny = int(transform.shape(1)), row = int(transform.shape(2));
  if (first < 0 || end > ny || width > row) throw std::invalid_argument("along_z: out of bounds");
  const Plan& plan = plan_of(nz);
  Number* data = transform.data();
  nb::gil_scoped_release release;
  const int n_along = groups(width);
  const Number scale = is_back ? Number(1) : Number(1) / Number(nz);
  share(int64_t(std::max(0, end - first)) * n_along, int64_t(nz) * std::max(0, end - first) * width,
        nz, threads, [&](int64_t piece, Pair* a, Pair* b) {
          const int g = int(piece % n_along);
          Number* start = data + (first + piece / n_along) * row * 2 + 2 * W * g;
          columns(start, start, int64_t(ny) * row * 2, part(width, g), plan, is_back, scale, a, b);
        });
}

void bind(nb::module_& m) {
  m.def("forward", &forward, nb::arg("real").noconvert(), nb::arg("out").noconvert(),
        nb::arg("threads"));
  m.def("back", &back, nb::arg("transform").noconvert(), nb::arg("between").noconvert(),
        nb::arg("real").noconvert(), nb::arg("threads"));
  m.def("products_back", &products_back, nb::arg("factors").noconvert(),
        nb::arg("plane").noconvert(), nb::arg("re").noconvert(), nb::arg("im").noconvert(),
        nb::arg("threads"));
  m.def("rows", &rows, nb::arg("real").noconvert(), nb::arg("out").noconvert(), nb::arg("threads"));
  m.def("rescaled_boxes", &rescaled_boxes, nb::arg("image").noconvert(),
        nb::arg("first").noconvert(), nb::arg("box"), nb::arg("out").noconvert(), nb::arg("threads"));
  m.def("along_z", &along_z, nb::arg("transform").noconvert(), nb::arg("first"), nb::arg("end"),
        nb::arg("width"), nb::arg("is_back"), nb::arg("threads"));
}
