// Derivatives of what cross_entropy_backward.cc computes from z, bias, labels and g (in0 to in3): from the gradient of
// its outputs (in4, in5) to that of z (out0), of the bias (out1) and of g (out2). Follows softmax.cc.
// With s = softmax(z + bias), and d the entries of in4 + in5 less that of the label: q = sum s d is the gradient of g,
// and g s (d - q) that of z. No own probability minus one, which would be rounding alone where a row is sure.
(void)"kernel: cross-entropy, second derivatives";
std::vector<T> sums(parts * h, T(0));
#pragma omp parallel num_threads(threads)
{
  Block block(h);
  std::vector<T> held(ROWS * h);
  T* __restrict__ d = held.data();
  #pragma omp for schedule(static)
  for (int64 p = 0; p < parts; p++) {
    T* __restrict__ by_bias = &sums[p * h];
    const int64 end = std::min(n, (p + 1) * part);
    for (int64 first = p * part; first < end; first += ROWS) {
      softmax(block, first);
      const int64 rows = std::min(ROWS, end - first);
      T g[ROWS], q[ROWS] = {};
      for (int64 r = 0; r < ROWS; r++) {
        const int64 i = std::min(first + r, n - 1);
        const T* __restrict__ a = in4_p + i * h;
        const T own = a[in2_p[i]] + in5_p[in2_p[i]];
        for (int64 j = 0; j < h; j++) d[j * ROWS + r] = a[j] + in5_p[j] - own;
        g[r] = r < rows ? in3_p[i] : T(0);
      }
      for (int64 r = 0; r < ROWS; r++) block.sum[r] = 1 / block.sum[r];
      for (int64 j = 0; j < h; j++)
        for (int64 r = 0; r < ROWS; r++) q[r] += (block.x[j * ROWS + r] *= block.sum[r]) * d[j * ROWS + r];
      for (int64 j = 0; j < h; j++) {
        T sum = 0;
        for (int64 r = 0; r < ROWS; r++) sum += d[j * ROWS + r] = g[r] * block.x[j * ROWS + r] * (d[j * ROWS + r] - q[r]);
        by_bias[j] += sum;
      }
      for (int64 r = 0; r < rows; r++) {
        out2_p[first + r] = q[r];
        for (int64 j = 0; j < h; j++) out0_p[(first + r) * h + j] = d[j * ROWS + r];
      }
    }
  }
}
for (int64 j = 0; j < h; j++) {
  T sum = 0;
  for (int64 p = 0; p < parts; p++) sum += sums[p * h + j];
  out1_p[j] = sum;
}
