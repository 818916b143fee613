// -log softmax(z + bias)[label]: rows z (in0), bias (in1) and labels (in2) to out0. Follows softmax.cc.
(void)"kernel: cross-entropy, forward";
#pragma omp parallel num_threads(threads)
{
  Block block(h);
  #pragma omp for schedule(static)
  for (int64 first = 0; first < n; first += ROWS) {
    softmax(block, first);
    T losses[ROWS];
    for (int64 r = 0; r < ROWS; r++) losses[r] = std::log(block.sum[r]) - block.own[r];
    for (int64 r = 0; r < std::min(ROWS, n - first); r++) out0_p[first + r] = losses[r];
  }
}
