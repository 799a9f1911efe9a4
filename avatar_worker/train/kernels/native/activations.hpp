// Rows of sixteen samples, for a block of 64.
#pragma once
#include "field.hpp"

constexpr int kTrainBlock = 64;
constexpr int kTrainGroups = kTrainBlock / 16;

template <int Rows>
struct Rows16 {
    static constexpr int stride = Rows * 16;
    alignas(64) float values[kTrainGroups * stride];
    uint32_t* words(int row = 0) { return reinterpret_cast<uint32_t*>(values + row * 16); }
    float* row(int group, int r) { return values + group * stride + r * 16; }
};
