// What kernels over rows share. Sums over rows do not depend on the order in which threads arrive: parts of the rows are
// summed by a block each, and the parts then by a tree that depends on their number alone.
typedef long long Index;
const Index ROWS = 64;  // of a part

template <class T> __device__ inline T smaller(T a, T b) { return b < a ? b : a; }  // NaN stays NaN, if it is a

// Up to so many parts, the block that ends last adds them up itself, which spares a launch.
const Index FEW_PARTS = 64;
__device__ unsigned ended;  // blocks that have; 0 between launches

// Whether all other blocks have ended, and what they wrote can be read. To be asked once, by every thread of a block.
__device__ inline bool is_last_block() {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    last = atomicAdd(&ended, 1u) == gridDim.x * gridDim.y - 1;
    if (last) ended = 0;
  }
  __syncthreads();
  __threadfence();
  return last;
}

// The sums of the columns of `values` (n, h): those of this block's rows, from `first` to `last`, to `held`, and, where
// parts are few, of all rows to `out`. For blocks of ROWS threads, after they are in step.
template <class T>
__device__ void sum_columns(const T* values, T* held, T* out, Index first, Index last, Index h) {
  for (Index j = threadIdx.x; j < h; j += ROWS) {
    T sum = 0;
    for (Index r = first; r < last; r++) sum += values[r * h + j];
    held[blockIdx.x * h + j] = sum;
  }
  if (gridDim.x > FEW_PARTS || !is_last_block()) return;
  for (Index j = threadIdx.x; j < h; j += ROWS) {
    T sum = 0;
    for (Index p = 0; p < gridDim.x; p++) sum += ((volatile T*)held)[p * h + j];
    out[j] = sum;
  }
}

// The sums of `parts` numbers for each of h columns: parts (parts, h) to out (h). A block for each column.
template <class T>
__global__ void sum_parts(const T* __restrict__ held, T* __restrict__ out, Index parts, Index h) {
  __shared__ T sums[256];
  T sum = 0;
  for (Index p = threadIdx.x; p < parts; p += 256) sum += held[p * h + blockIdx.x];
  sums[threadIdx.x] = sum;
  __syncthreads();
  for (int half = 128; half; half /= 2) {
    if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x == 0) out[blockIdx.x] = sums[0];
}
