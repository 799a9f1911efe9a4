// Aligned storage and plain matrices.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <vector>

struct FreeDeleter {
    void operator()(void* p) const { std::free(p); }
};

// Zeroed memory on a cache line boundary.
template <typename T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(size_t count) {
        const size_t bytes = (count * sizeof(T) + 127) / 64 * 64;
        void* memory = std::aligned_alloc(64, bytes);
        if (memory == nullptr) throw std::bad_alloc();
        std::memset(memory, 0, bytes);
        data_.reset(static_cast<T*>(memory));
    }
    T* get() { return data_.get(); }
    const T* get() const { return data_.get(); }
    T& operator[](size_t i) { return data_.get()[i]; }

  private:
    std::unique_ptr<T, FreeDeleter> data_;
};

struct Matrix {
    int rows, cols;
    std::vector<float> values;

    Matrix(int n_rows, int n_cols)
        : rows(n_rows), cols(n_cols), values(static_cast<size_t>(n_rows) * n_cols, 0.0f) {}
    float& at(int r, int c) { return values[static_cast<size_t>(r) * cols + c]; }
    float at(int r, int c) const { return values[static_cast<size_t>(r) * cols + c]; }
};

inline uint32_t bits_of(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    return bits;
}
inline float float_of(uint32_t bits) {
    float v;
    std::memcpy(&v, &bits, 4);
    return v;
}
// bfloat16, rounded to nearest even.
inline uint16_t to_bf16(float v) {
    const uint32_t bits = bits_of(v);
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
inline float rounded_to_bf16(float v) { return float_of(static_cast<uint32_t>(to_bf16(v)) << 16); }
