// A stand-in for libcublas: plain products in the precision that the compute type names.
#include <cublas_v2.h>
#include <cstdio>
#include <cstdlib>
#include <vector>
#define X extern "C" __attribute__((visibility("default")))
extern "C" {
void stand_in_open();
void stand_in_close();
void stand_in_launched(const char*);
}
X cublasStatus_t cublasCreate_v2(cublasHandle_t* h) {
  *h = (cublasHandle_t)1;
  return CUBLAS_STATUS_SUCCESS;
}
X cublasStatus_t cublasDestroy_v2(cublasHandle_t) { return CUBLAS_STATUS_SUCCESS; }
X cublasStatus_t cublasSetStream_v2(cublasHandle_t, cudaStream_t) { return CUBLAS_STATUS_SUCCESS; }
X cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) { return CUBLAS_STATUS_SUCCESS; }
template <class T, class A>
static void gemm(bool ta, bool tb, int m, int n, int k, A alpha, const T* a, int lda, const T* b, int ldb, A beta, T* c,
                 int ldc) {
  std::vector<A> col(m);
  for (int j = 0; j < n; j++) {
    for (auto& x : col) x = 0;
    if (!ta)
      for (int l = 0; l < k; l++) {
        A y = tb ? b[j + (size_t)l * ldb] : b[l + (size_t)j * ldb];
        const T* p = a + (size_t)l * lda;
        for (int i = 0; i < m; i++) col[i] += (A)p[i] * y;
      }
    else
      for (int i = 0; i < m; i++) {
        A s = 0;
        const T* p = a + (size_t)i * lda;
        if (tb)
          for (int l = 0; l < k; l++) s += (A)p[l] * (A)b[j + (size_t)l * ldb];
        else
          for (int l = 0; l < k; l++) s += (A)p[l] * (A)b[l + (size_t)j * ldb];
        col[i] = s;
      }
    for (int i = 0; i < m; i++)
      c[i + (size_t)j * ldc] = alpha * col[i] + (beta != 0 ? beta * c[i + (size_t)j * ldc] : 0);
  }
}
X cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
                              const void* alpha, const void* a, cudaDataType at, int lda, const void* b,
                              cudaDataType bt, int ldb, const void* beta, void* c, cudaDataType ct, int ldc,
                              cublasComputeType_t compute, cublasGemmAlgo_t) {
  if (m < 0 || n < 0 || k < 0 || lda < (ta ? k : m) || ldb < (tb ? n : k) || ldc < m)
    return CUBLAS_STATUS_INVALID_VALUE;
  bool f32 = at == CUDA_R_32F && bt == CUDA_R_32F && ct == CUDA_R_32F,
       f64 = at == CUDA_R_64F && bt == CUDA_R_64F && ct == CUDA_R_64F;
  bool c32 = compute == CUBLAS_COMPUTE_32F || compute == CUBLAS_COMPUTE_32F_PEDANTIC ||
             compute == CUBLAS_COMPUTE_32F_FAST_TF32 || compute == CUBLAS_COMPUTE_32F_FAST_16F ||
             compute == CUBLAS_COMPUTE_32F_FAST_16BF;
  bool c64 = compute == CUBLAS_COMPUTE_64F || compute == CUBLAS_COMPUTE_64F_PEDANTIC;
  if (!((f32 && c32) || (f64 && c64))) {
    fprintf(stderr, "stand-in: cublasGemmEx types %d %d %d compute %d: not in cuBLAS's table\n", at, bt, ct, compute);
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  stand_in_launched(f64 ? "cublas dgemm" : "cublas sgemm");
  stand_in_open();
  if (f32)
    gemm<float, float>(ta, tb, m, n, k, *(float*)alpha, (const float*)a, lda, (const float*)b, ldb, *(float*)beta,
                       (float*)c, ldc);
  else
    gemm<double, double>(ta, tb, m, n, k, *(double*)alpha, (const double*)a, lda, (const double*)b, ldb, *(double*)beta,
                         (double*)c, ldc);
  stand_in_close();
  return CUBLAS_STATUS_SUCCESS;
}
X cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n,
                                            int k, const void* alpha, const void* a, cudaDataType at, int lda,
                                            long long sa, const void* b, cudaDataType bt, int ldb, long long sb,
                                            const void* beta, void* c, cudaDataType ct, int ldc, long long sc,
                                            int count, cublasComputeType_t compute, cublasGemmAlgo_t algo) {
  size_t e = at == CUDA_R_64F ? 8 : 4;
  for (int i = 0; i < count; i++) {
    auto s = cublasGemmEx(h, ta, tb, m, n, k, alpha, (char*)a + i * sa * e, at, lda, (char*)b + i * sb * e, bt, ldb,
                          beta, (char*)c + i * sc * e, ct, ldc, compute, algo);
    if (s) return s;
  }
  return CUBLAS_STATUS_SUCCESS;
}
X cublasStatus_t cublasSgemm_v2(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const float*,
                                const float*, int, const float*, int, const float*, float*, int) {
  return CUBLAS_STATUS_NOT_SUPPORTED;
}
