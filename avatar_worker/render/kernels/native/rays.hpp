// From pixels to rays, and from rays to the occupied points of their lattice.
//
// A ray visits t₀ = near, tₖ₊₁ = fl(tₖ + step) while tₖ < far. A lattice point whose cell is occupied
// is a sample; the points of a ray are one 128-bit mask. Multiplications and additions are rounded
// here as in the float32 twin, fused or separately, so that both meet the same cells.
#pragma once
#include <cmath>
#include <vector>

#include "head.hpp"

constexpr int kRaysPerTile = 512;
constexpr int kLatticePoints = 128;
constexpr float kMinNear = 0.05f;
constexpr int kBlockSide = 16;  // pixels

struct Camera {
    float pose[16];  // camera to world, row-major
    float fx, fy, cx, cy;
    int32_t height, width;
};

// Up to `kRaysPerTile` rays; the arrays are padded to whole vectors with copies of the last ray.
struct RayTile {
    alignas(64) int32_t pixel[kRaysPerTile];
    alignas(64) float dx[kRaysPerTile], dy[kRaysPerTile], dz[kRaysPerTile];
    alignas(64) float near[kRaysPerTile], far[kRaysPerTile];
    alignas(64) float from[kRaysPerTile];  // nothing is occupied before this distance
    uint64_t low[kRaysPerTile], high[kRaysPerTile];  // occupied points 0–63 and 64–127
    // Occupied points in front of these that are known to be empty (see Head::filled). A ray has
    // met nothing until then, so that they only count.
    alignas(64) float passed[kRaysPerTile];
    int count = 0;

    int padded() const { return (count + 15) / 16 * 16; }
};

// Between which distances the rays of each 16 × 16 pixels can meet something; nothing is occupied
// outside of the balls. A fifth of the lattice is left to be walked.
class DepthRanges {
  public:
    DepthRanges(const Camera& camera, const std::vector<Ball>& balls)
        : columns_((camera.width + kBlockSide - 1) / kBlockSide),
          rows_((camera.height + kBlockSide - 1) / kBlockSide) {
        from_.assign(static_cast<size_t>(columns_) * rows_, kFarAway);
        to_.assign(from_.size(), -kFarAway);
        for (const Ball& ball : balls) add(camera, ball);
    }

    // from > to where there is nothing.
    void look_up(lanes::F row, lanes::F column, lanes::F& from, lanes::F& to) const {
        using namespace lanes;
        const F side = splat(1.0f / kBlockSide), columns = splat(static_cast<float>(columns_));
        const I block = to_int(fma(floor(mul(row, side)), columns, floor(mul(column, side))));
        from = gather(from_.data(), block);
        to = gather(to_.data(), block);
    }

  private:
    static constexpr float kFarAway = 1e9f;

    void include_all() {
        std::fill(from_.begin(), from_.end(), -kFarAway);
        std::fill(to_.begin(), to_.end(), kFarAway);
    }

    void add(const Camera& camera, const Ball& ball) {
        const float radius = ball.radius + kStep;  // a step to spare
        float p[3] = {};                           // the middle as the camera sees it
        for (int j = 0; j < 3; ++j)
            for (int axis = 0; axis < 3; ++axis)
                p[j] += camera.pose[4 * axis + j] * (ball.middle[axis] - camera.pose[4 * axis + 3]);
        const float near = p[2] - radius, far = p[2] + radius;
        if (near < kMinNear) {
            if (far > 0.0f) include_all();  // around the camera
            return;
        }
        const auto first = [&](float x, float focal, float centre) {
            return focal * (x - radius) / (x > radius ? far : near) + centre;
        };
        const auto last = [&](float x, float focal, float centre) {
            return focal * (x + radius) / (x < -radius ? far : near) + centre;
        };
        const int left = block_of(first(p[0], camera.fx, camera.cx), columns_);
        const int right = block_of(last(p[0], camera.fx, camera.cx), columns_);
        const int top = block_of(first(p[1], camera.fy, camera.cy), rows_);
        const int bottom = block_of(last(p[1], camera.fy, camera.cy), rows_);
        const float distance = std::sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
        for (int row = top; row <= bottom; ++row)
            for (int i = row * columns_ + left; i <= row * columns_ + right; ++i) {
                from_[i] = std::min(from_[i], distance - radius);
                to_[i] = std::max(to_[i], distance + radius);
            }
    }

    // A ball beside the picture counts for the blocks at its edge.
    static int block_of(float pixel, int blocks) {
        return static_cast<int>(std::clamp(pixel / kBlockSide, 0.0f, static_cast<float>(blocks - 1)));
    }

    int columns_, rows_;
    std::vector<float> from_, to_;
};

// `ranges` may be null.
inline void make_rays(const Camera& camera, const float* aabb, const DepthRanges* ranges,
                      RayTile& tile) {
    using namespace lanes;
    for (int i = tile.count; i < tile.padded(); ++i) tile.pixel[i] = tile.pixel[tile.count - 1];
    const float* pose = camera.pose;
    const F width = splat(static_cast<float>(camera.width)), half = splat(0.5f), one = splat(1.0f);
    for (int i = 0; i < tile.padded(); i += 16) {
        // Exact for pictures of up to 2²² pixels.
        const F pixel = to_float(load(tile.pixel + i));
        const F row = floor(div(add(pixel, half), width));
        const F column = sub(pixel, mul(row, width));
        F from = splat(0.0f), to = splat(3.4028235e38f);
        if (ranges != nullptr) {
            ranges->look_up(row, column, from, to);
            if (is_empty(less(from, to))) {
                store(tile.near + i, from);
                store(tile.far + i, to);
                continue;
            }
        }
        store(tile.from + i, from);
        const F x = div(sub(add(column, half), splat(camera.cx)), splat(camera.fx));
        const F y = div(sub(add(row, half), splat(camera.cy)), splat(camera.fy));
        const F norm = sqrt(add(add(mul(x, x), mul(y, y)), one));
        const F local[3] = {div(x, norm), div(y, norm), div(one, norm)};
        F near = splat(kMinNear), far = to;
        float* directions[3] = {tile.dx + i, tile.dy + i, tile.dz + i};
        F entry = splat(-3.4028235e38f);
        for (int axis = 0; axis < 3; ++axis) {
            const F d = fma(local[2], splat(pose[4 * axis + 2]),
                            fma(local[1], splat(pose[4 * axis + 1]),
                                mul(local[0], splat(pose[4 * axis]))));
            store(directions[axis], d);
            const F reciprocal = div(one, d);
            const F first = mul(splat(aabb[axis] - pose[4 * axis + 3]), reciprocal);
            const F second = mul(splat(aabb[axis + 3] - pose[4 * axis + 3]), reciprocal);
            entry = max(min(first, second), entry);
            far = min(max(first, second), far);
        }
        // A miss has entry > far on some pair of axes, hence here, and then no lattice point.
        store(tile.near + i, max(entry, near));
        store(tile.far + i, far);
    }
}

inline void march(const Camera& camera, const uint32_t* occupancy, const uint32_t* filled,
                  RayTile& tile) {
    using namespace lanes;
    const F one = splat(1.0f), minus_one = splat(-1.0f), cells = splat(kGrid / 2.0f);
    const F first_cell = splat(0.0f), last_cell = splat(kGrid - 1.0f), step = splat(kStep);
    const F last_small = splat(kFineGrid - 1.0f);
    const F origin[3] = {splat(camera.pose[3]), splat(camera.pose[7]), splat(camera.pose[11])};
    for (int i = 0; i < tile.padded(); i += 16) {
        const F direction[3] = {load(tile.dx + i), load(tile.dy + i), load(tile.dz + i)};
        const F from = load(tile.from + i), far = load(tile.far + i);
        F t = load(tile.near + i);
        I hits[4] = {splat_int(0), splat_int(0), splat_int(0), splat_int(0)};
        Mask inside = less(t, far);
        // Rays that have met nothing but empty points. The finer grid is asked until the first filled
        // one: that is a tenth of the points, and tells nine of ten empty ones.
        Mask waiting = inside;
        F passed = splat(0.0f);
        for (int k = 0; k < kLatticePoints && !is_empty(inside); ++k) {
            if (is_empty(both(inside, less(from, t)))) {  // not there yet
                t = add(t, step);
                inside = both(inside, less(t, far));
                continue;
            }
            F place[3];
            I cell[3];
            for (int axis = 0; axis < 3; ++axis) {
                const F p = add(origin[axis], mul(t, direction[axis]));
                place[axis] = mul(add(min(max(p, minus_one), one), one), cells);
                cell[axis] = to_int(min(max(place[axis], first_cell), last_cell));
            }
            const I word = bit_or(shift_left(cell[0], 9),
                                  bit_or(shift_left(cell[1], 2), shift_right(cell[2], 5)));
            const Mask occupied = any_bit(gather(occupancy, word),
                                          one_bit(bit_and(cell[2], splat_int(31))));
            Mask hit = both(inside, occupied);
            if (filled != nullptr && !is_empty(both(hit, waiting))) {
                for (int axis = 0; axis < 3; ++axis) {
                    const F p = add(place[axis], place[axis]);
                    cell[axis] = to_int(min(max(p, first_cell), last_small));
                }
                const I small = bit_or(shift_left(cell[0], 11),
                                       bit_or(shift_left(cell[1], 3), shift_right(cell[2], 5)));
                const Mask full = any_bit(gather(filled, small),
                                          one_bit(bit_and(cell[2], splat_int(31))));
                const Mask empty = both(hit, without(waiting, full));
                passed = add(passed, only_where(empty, one));
                hit = without(hit, empty);
                waiting = without(waiting, hit);
            }
            I& part = hits[k >> 5];
            part = or_where(hit, part, splat_int(static_cast<int>(1u << (k & 31))));
            t = add(t, step);
            inside = both(inside, less(t, far));
        }
        store(tile.passed + i, passed);
        alignas(64) uint32_t words[4][16];
        for (int part = 0; part < 4; ++part) store(words[part], hits[part]);
        for (int lane = 0; lane < 16; ++lane) {
            tile.low[i + lane] = words[0][lane] | static_cast<uint64_t>(words[1][lane]) << 32;
            tile.high[i + lane] = words[2][lane] | static_cast<uint64_t>(words[3][lane]) << 32;
        }
    }
}
