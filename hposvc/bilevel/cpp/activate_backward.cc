// From the gradient of the activations (in2) to that of z (out0) and of the bias (out1).
// Sums over rows are kept for each part of the rows and added in order, so that the bits do not depend on the number of
// threads: a job goes on bit for bit on a machine with more of them.
(void)"kernel: hidden layer, backward";
std::vector<T> sums(parts * h, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 p = 0; p < parts; p++) {
  T* __restrict__ by_bias = &sums[p * h];
  for (int64 i = p * part; i < std::min(n, (p + 1) * part); i++) {
    const T* __restrict__ z = in0_p + i * h; ALONG
    const T* __restrict__ g = in2_p + i * h;
    T* __restrict__ d = out0_p + i * h;
    for (int64 j = 0; j < h; j++) {
      const T x = ENTRY;
      T y, slope; VALUE SLOPE
      d[j] = g[j] * slope;
      by_bias[j] += d[j];
    }
  }
}
for (int64 j = 0; j < h; j++) {
  T sum = 0;
  for (int64 p = 0; p < parts; p++) sum += sums[p * h + j];
  out1_p[j] = sum;
}
