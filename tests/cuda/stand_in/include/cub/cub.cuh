// What of CUB Jittor's argmax takes.
#pragma once
namespace cub {
template <class K, class V>
struct KeyValuePair {
  typedef K Key;
  typedef V Value;
  K key;
  V value;
};
struct DeviceSegmentedReduce {
  template <class T, class O, class I>
  static cudaError_t ArgMax(void* temp, size_t& bytes, const T* in, O* out, int segments, I begin, I end) {
    if (!temp) {
      bytes = 1;
      return cudaSuccess;
    }
    stand_in_launched("cub ArgMax");
    stand_in_open();
    for (int s = 0; s < segments; s++) {
      out[s].key = 1;
      out[s].value = -INFINITY;
      for (int i = begin[s]; i < end[s]; i++)
        if (i == begin[s] || in[i] > out[s].value) {
          out[s].key = i - begin[s];
          out[s].value = in[i];
        }
    }
    stand_in_close();
    return cudaSuccess;
  }
  template <class T, class O, class I>
  static cudaError_t ArgMin(void* temp, size_t& bytes, const T* in, O* out, int segments, I begin, I end) {
    if (!temp) {
      bytes = 1;
      return cudaSuccess;
    }
    stand_in_launched("cub ArgMin");
    stand_in_open();
    for (int s = 0; s < segments; s++) {
      out[s].key = 1;
      for (int i = begin[s]; i < end[s]; i++)
        if (i == begin[s] || in[i] < out[s].value) {
          out[s].key = i - begin[s];
          out[s].value = in[i];
        }
    }
    stand_in_close();
    return cudaSuccess;
  }
};
}  // namespace cub
