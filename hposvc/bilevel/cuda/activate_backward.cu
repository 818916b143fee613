// From the gradient of the activations (in2) to that of z (out0) and of the bias (out1); out2 holds the sums of parts.
// A block takes 32 columns of a part of the rows, its threads 32 columns of eight rows at a time.
template <class T>
__global__ void activate_backward(const T* __restrict__ in0_p, const T* __restrict__ in1_p, const T* __restrict__ in2_p,
                                  PARAMETERS T* __restrict__ out0_p, T* __restrict__ out1_p, T* held, Index n,
                                  Index h) {
  __shared__ T sums[8][32];
  const T LARGEST = 80;
  const Index j = Index(blockIdx.x) * 32 + threadIdx.x;
  const Index first = Index(blockIdx.y) * ROWS, last = first + ROWS < n ? first + ROWS : n;
  T sum = 0;
  if (j < h)
    for (Index i = first + threadIdx.y; i < last; i += 8) {
      const T* z = in0_p + i * h;
      ALONG
      const T x = ENTRY;
      T y, slope;
      VALUE
      SLOPE
      const T d = in2_p[i * h + j] * slope;
      out0_p[i * h + j] = d;
      sum += d;
    }
  sums[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  for (int half = 4; half; half /= 2) {
    if (threadIdx.y < half) sums[threadIdx.y][threadIdx.x] += sums[threadIdx.y + half][threadIdx.x];
    __syncthreads();
  }
  if (threadIdx.y == 0 && j < h) held[blockIdx.y * h + j] = sums[0][threadIdx.x];
  if (gridDim.y > FEW_PARTS || !is_last_block()) return;
  for (Index c = threadIdx.y * 32 + threadIdx.x; c < h; c += 256) {
    T total = 0;
    for (Index p = 0; p < gridDim.y; p++) total += ((volatile T*)held)[p * h + c];
    out1_p[c] = total;
  }
}
// launches
const Index n = in0_shape0, h = in0_shape1, parts = (n + ROWS - 1) / ROWS;
activate_backward<<<dim3((h + 31) / 32, parts), dim3(32, 8)>>>(in0_p, in1_p, in2_p, ARGUMENTS out0_p, out1_p, out2_p, n, h);
if (parts > FEW_PARTS) sum_parts<<<h, 256>>>(out2_p, out1_p, parts, h);
