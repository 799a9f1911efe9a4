// The three feature planes: twelve square lattices each, laid out without hashing.
//
// An entry of a lattice point holds four half-precision numbers: the value of the point and of its
// neighbour along the first coordinate (lower word), and the same one step further along the second
// (upper word). One look-up per plane and level brings all four corners of a cell.
#pragma once
#include "lanes.hpp"
#include "memory.hpp"

constexpr int kPlanes = 3;
constexpr int kLevels = 12;
constexpr int kFeatures = kPlanes * kLevels;

struct Tables {
    Buffer<uint64_t> corners[kPlanes];
    int start[kLevels];
    int stride[kLevels];
    float half_scale[kLevels];  // half the lattice spacings of a side
};

// First and second coordinate of the planes xy, yz and xz.
constexpr int kFirstAxis[kPlanes] = {0, 1, 0};
constexpr int kSecondAxis[kPlanes] = {1, 2, 2};

// Where sixteen points lie in the lattice of one level.
struct Cells {
    lanes::F corner[3], share[3];

    Cells(const Tables& tables, int level, const lanes::F point[3]) {
        const lanes::F scale = lanes::splat(tables.half_scale[level]);
        const lanes::F middle = lanes::splat(tables.half_scale[level] + 0.5f);
        for (int axis = 0; axis < 3; ++axis) {
            const lanes::F position = lanes::fma(point[axis], scale, middle);
            corner[axis] = lanes::floor(position);
            share[axis] = lanes::sub(position, corner[axis]);
        }
    }

    // Entry of the corner in one plane; exact, since lattices have fewer than 2²⁴ points.
    lanes::I index(const Tables& tables, int level, int plane) const {
        const lanes::F stride = lanes::splat(static_cast<float>(tables.stride[level]));
        return lanes::to_int(
            lanes::fma(corner[kSecondAxis[plane]], stride, corner[kFirstAxis[plane]]));
    }

    // The cells' values on the near and the far side along the second coordinate.
    void gather(const Tables& tables, int level, int plane, lanes::I& near, lanes::I& far) const {
        const uint64_t* table = tables.corners[plane].get() + tables.start[level];
        lanes::gather_entries(table, index(tables, level, plane), near, far);
    }
};

// What lies between the four corners of a cell, in float32.
inline lanes::F mix(lanes::I near, lanes::I far, lanes::F along, lanes::F across) {
    using namespace lanes;
    const F n0 = lower_half(near), n1 = upper_half(near);
    const F low = fma(sub(lower_half(far), n0), along, n0);
    const F high = fma(sub(upper_half(far), n1), along, n1);
    return fma(sub(high, low), across, low);
}

#if defined(AVATAR_SLOW_GATHERS)
// Where sixteen points lie in all lattices. A load for every entry takes half the time of a gather
// on AMD, but only if the entries' numbers have long been in memory: read in pieces just after it
// was stored as a whole, a vector of them costs as much as the gather.
class Places {
  public:
    Places(const Tables& tables, const lanes::F point[3]) : tables_(tables) {
        for (int level = 0; level < kLevels; ++level) {
            const Cells cells(tables, level, point);
            for (int axis = 0; axis < 3; ++axis) share_[level][axis] = cells.share[axis];
            for (int plane = 0; plane < kPlanes; ++plane)
                lanes::store(entry_[level][plane], cells.index(tables, level, plane));
        }
        asm volatile("" : "+m"(entry_));  // or compilers take the numbers out of registers
    }

    lanes::F feature(int level, int plane) const {
        lanes::I near, far;
        const uint64_t* table = tables_.corners[plane].get() + tables_.start[level];
        lanes::load_entries(table, entry_[level][plane], near, far);
        return mix(near, far, share_[level][kSecondAxis[plane]], share_[level][kFirstAxis[plane]]);
    }

  private:
    const Tables& tables_;
    alignas(64) uint32_t entry_[kLevels][kPlanes][16];
    lanes::F share_[kLevels][3];
};
#endif

// Features of sixteen points in float32: `use(level, plane, feature, next)` for every second level,
// together with the feature of the next level.
template <typename Use>
inline void look_up_pairs(const Tables& tables, const lanes::F point[3], Use use) {
#if defined(AVATAR_SLOW_GATHERS)
    const Places places(tables, point);
    for (int level = 0; level < kLevels; level += 2)
        for (int plane = 0; plane < kPlanes; ++plane)
            use(level, plane, places.feature(level, plane), places.feature(level + 1, plane));
#else
    for (int level = 0; level < kLevels; level += 2) {
        const Cells cells[2] = {{tables, level, point}, {tables, level + 1, point}};
        for (int plane = 0; plane < kPlanes; ++plane) {
            lanes::F features[2];
            for (int i = 0; i < 2; ++i) {
                lanes::I near, far;
                cells[i].gather(tables, level + i, plane, near, far);
                features[i] = mix(near, far, cells[i].share[kSecondAxis[plane]],
                                  cells[i].share[kFirstAxis[plane]]);
            }
            use(level, plane, features[0], features[1]);
        }
    }
#endif
}
