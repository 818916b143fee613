// Blocks of rows are turned on their side, so that every loop runs over the rows of a block and vectorizes whatever the
// number of classes is. A last block that is not full repeats its last row, which is then not written.
const int64 ROWS = 32;
struct Block {
  std::vector<T> held;
  T *x, top[ROWS], sum[ROWS], own[ROWS];
  Block(int64 h) : held(ROWS * h), x(held.data()) {}
};
auto softmax = [&](Block& block, int64 first) {
  T* __restrict__ x = block.x;
  for (int64 r = 0; r < ROWS; r++) {
    const int64 i = std::min(first + r, n - 1);
    const T* __restrict__ z = in0_p + i * h; ALONG
    for (int64 j = 0; j < h; j++) x[j * ROWS + r] = ENTRY;
  }
  for (int64 r = 0; r < ROWS; r++) block.top[r] = x[r];
  for (int64 j = 1; j < h; j++)
    for (int64 r = 0; r < ROWS; r++) block.top[r] = std::max(block.top[r], x[j * ROWS + r]);
  for (int64 r = 0; r < ROWS; r++) {
    block.own[r] = x[in2_p[std::min(first + r, n - 1)] * ROWS + r] - block.top[r];
    block.sum[r] = 0;
  }
  for (int64 j = 0; j < h; j++)
    for (int64 r = 0; r < ROWS; r++) {
      const T e = std::exp(x[j * ROWS + r] - block.top[r]);  // NaN stays NaN, which ends a run that diverged
      x[j * ROWS + r] = e;
      block.sum[r] += e;
    }
};
