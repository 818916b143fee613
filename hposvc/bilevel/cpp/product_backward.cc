// From the gradient of the product (in3) to that of z (out0), bias (out1) and weight (out2). Follows transposed.cc.
// Sums over rows are kept for each part of the rows and added in order, so that the bits do not depend on the number of
// threads: a job goes on bit for bit on a machine with more of them.
(void)"kernel: hidden layer, backward";
std::vector<T> sums(parts * h * (k + 1), T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 p = 0; p < parts; p++) {
  std::vector<T> activations(h);
  T* __restrict__ a = activations.data();
  T* __restrict__ by_bias = &sums[p * h * (k + 1)];
  T* __restrict__ by_weight = by_bias + h;
  for (int64 i = p * part; i < std::min(n, (p + 1) * part); i++) {
    const T* __restrict__ z = in0_p + i * h; ALONG
    const T* __restrict__ g = in3_p + i * k;
    T* __restrict__ d = out0_p + i * h;
    combine_columns(g, columns.data(), d, h, k);
    for (int64 j = 0; j < h; j++) {
      const T x = ENTRY;
      T y, slope; VALUE SLOPE
      a[j] = y;
      d[j] *= slope;
      by_bias[j] += d[j];
    }
    for (int64 c = 0; c < k; c++) {
      T* __restrict__ s = by_weight + c * h;
      for (int64 j = 0; j < h; j++) s[j] += g[c] * a[j];
    }
  }
}
for (int64 j = 0; j < h; j++) {
  for (int64 c = 0; c <= k; c++) {
    T sum = 0;
    for (int64 p = 0; p < parts; p++) sum += sums[p * h * (k + 1) + c * h + j];
    if (c == 0) out1_p[j] = sum; else out2_p[j * k + c - 1] = sum;
  }
}
