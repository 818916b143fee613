// -log softmax(z + bias)[label]: rows z (in0), bias (in1) and labels (in2) to out0. A thread for each row.
template <class T, class L>
__global__ void cross_entropy(const T* __restrict__ in0_p, const T* __restrict__ in1_p, const L* __restrict__ in2_p,
                              PARAMETERS T* __restrict__ out0_p, Index n, Index h) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const T* z = in0_p + i * h;
  ALONG
  T top = 0, own = 0, sum = 0;
  for (Index j = 0; j < h; j++) {
    const T x = ENTRY;
    if (j == 0 || x > top) top = x;
    if (j == in2_p[i]) own = x;
  }
  for (Index j = 0; j < h; j++) sum += exp(ENTRY - top);
  out0_p[i] = log(sum) - (own - top);
}
// launches
const Index n = in0_shape0, h = in0_shape1;
cross_entropy<<<(n + 63) / 64, 64>>>(in0_p, in1_p, in2_p, ARGUMENTS out0_p, n, h);
