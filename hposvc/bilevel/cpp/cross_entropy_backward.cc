// From the gradient of the losses (in3) to that of z (out0) and of the bias (out1). Follows softmax.cc.
// Sums over rows are kept for each part of the rows and added in order, so that the bits do not depend on the number of
// threads: a job goes on bit for bit on a machine with more of them.
(void)"kernel: cross-entropy, backward";
std::vector<T> sums(parts * h, T(0));
#pragma omp parallel num_threads(threads)
{
  Block block(h);
  #pragma omp for schedule(static)
  for (int64 p = 0; p < parts; p++) {
    T* __restrict__ by_bias = &sums[p * h];
    const int64 end = std::min(n, (p + 1) * part);
    for (int64 first = p * part; first < end; first += ROWS) {
      softmax(block, first);
      const int64 rows = std::min(ROWS, end - first);
      T g[ROWS], scale[ROWS];
      for (int64 r = 0; r < ROWS; r++) g[r] = r < rows ? in3_p[std::min(first + r, n - 1)] : T(0);
      for (int64 r = 0; r < ROWS; r++) scale[r] = g[r] / block.sum[r];
      // minus the sum of the others: the own probability minus one is rounding alone where a row is sure
      T others[ROWS] = {};
      for (int64 r = 0; r < rows; r++) block.x[in2_p[first + r] * ROWS + r] = 0;
      for (int64 j = 0; j < h; j++)
        for (int64 r = 0; r < ROWS; r++) others[r] += block.x[j * ROWS + r] *= scale[r];
      for (int64 r = 0; r < rows; r++) block.x[in2_p[first + r] * ROWS + r] = -others[r];
      for (int64 j = 0; j < h; j++) {
        T sum = 0;
        for (int64 r = 0; r < ROWS; r++) sum += block.x[j * ROWS + r];
        by_bias[j] += sum;
      }
      for (int64 r = 0; r < rows; r++)
        for (int64 j = 0; j < h; j++) out0_p[(first + r) * h + j] = block.x[j * ROWS + r];
    }
  }
}
for (int64 j = 0; j < h; j++) {
  T sum = 0;
  for (int64 p = 0; p < parts; p++) sum += sums[p * h + j];
  out1_p[j] = sum;
}
