// The columns of the weights (in2), one after the other.
const int64 k = in2_shape1;
std::vector<T> columns(k * h);
for (int64 j = 0; j < h; j++) for (int64 c = 0; c < k; c++) columns[c * h + j] = in2_p[j * k + c];
