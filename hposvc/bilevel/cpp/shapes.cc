// What all passes over rows share: n rows of h entries (in0), divided into parts.
// Kernels are compiled with -Ofast, where 1/infinity is NaN: exponents stop where e^x is still finite in float32.
// Fewer entries than 32,768 are not worth waking a second thread for.
using T = in0_type;
const T LARGEST = 80;
const int64 PARTS = 32;
const int64 n = in0_shape0, h = in0_shape1;
const int threads = n * h < 32768 ? 1 : omp_get_max_threads();
const int64 part = std::max<int64>(((n + PARTS - 1) / PARTS + 31) / 32 * 32, 64), parts = (n + part - 1) / part;
