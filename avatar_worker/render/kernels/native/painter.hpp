// Draws tiles of rays: rounds of samples, front-to-back sums, and the finished pixels.
#pragma once
#include <algorithm>

#include "field.hpp"

// Where a ray ends. With a cap, which is no exact picture anyway, already where all that could
// still come is half a level of an eight-bit picture: one sample in twenty less.
constexpr float kTransmittanceFloor = 1e-4f, kCappedTransmittanceFloor = 1.0f / 512.0f;
constexpr int kMaxCap = 128;
constexpr int kHistogram = 25;

// One frame to draw. Twin of `_Job` in cpu.py.
struct Job {
    Camera camera;
    const float* audio;       // [32]
    const float* eye;         // [n_eye]
    const int32_t* pixels;    // row · width + column of each ray
    int64_t n_pixels;
    int32_t cap;              // samples a ray may have; 0 for the rule of the whole picture
    int32_t threads;
    const uint8_t* background;  // [height][width][3], null for sums only
    const uint8_t* original;    // the same, null unless the head is blended into it
    const uint8_t* mask;        // [height][width], with `original`
    uint8_t* picture;           // [height][width][3], with `background`
    float* rgb;                 // [n_pixels][3], null for pictures
    float* weight;              // [n_pixels], with `rgb`
    uint8_t* samples;           // composited samples of each ray [n_pixels], may be null
    // results
    int64_t listed, evaluated, used;
    int32_t cap_used;
    int64_t lengths[kHistogram];  // rays by min(occupied points, index of the ending sample, 24)
    int64_t stages[kStages];      // ticks of all threads, see stages.hpp
};

// A ray that used up its samples and could take more.
struct Unfinished {
    int64_t slot;
    uint64_t low, high;
    float weight, red, green, blue;
    int32_t used;
};

// What a thread has to report.
struct Yield {
    int64_t listed = 0, evaluated = 0, used = 0;
    int64_t lengths[kHistogram] = {};
    StageClock clock;
    std::vector<Unfinished> unfinished;
};

// Memory of one thread. Plain data, zero at first.
struct Scratch {
    RayTile rays;
    SampleList samples;
    Activations activations;
    int64_t slot[kRaysPerTile];  // number of the ray in the job
    float weight[kRaysPerTile], red[kRaysPerTile], green[kRaysPerTile], blue[kRaysPerTile];
    int32_t used[kRaysPerTile];
    int32_t alive[kRaysPerTile], taken[kRaysPerTile];  // rays that go on, and samples listed of each
    int32_t place[kRaysPerTile][kFirstRound];  // where these samples are in the list
};

// Eight-bit levels as shares of one.
struct Levels255 {
    float single[256];
    double whole[256];
    constexpr Levels255() : single(), whole() {
        for (int v = 0; v < 256; ++v) {
            single[v] = static_cast<float>(v) / 255.0f;
            whole[v] = v / 255.0;
        }
    }
};
inline constexpr Levels255 kLevels255;

// A level that became a share of one and was truncated again is what it was.
constexpr bool levels_return() {
    for (int v = 0; v < 256; ++v) {
        const float share = kLevels255.single[v];
        if (static_cast<int>(share * 255.0f) != v || static_cast<int>(share * 255.0) != v) return false;
    }
    return true;
}
static_assert(levels_return(), "copying is not what blending with nothing does");

class Painter {
  public:
    Painter(const Head& head, const Network::Layer& frame, const DepthRanges& ranges, const Job& job,
            Scratch& scratch)
        : head_(head), ranges_(ranges), job_(job), s_(scratch),
          floor_(job.cap == 0 ? kTransmittanceFloor : kCappedTransmittanceFloor),
          field_(head, frame, scratch.activations, yield.clock) {}

    Yield yield;

    // Draws rays `first` … of the job until each has ended or has `cap` samples.
    void draw(int64_t first, int count, int cap) {
        is_first_pass_ = true;
        yield.clock.start();
        RayTile& rays = s_.rays;
        rays.count = count;
        for (int i = 0; i < count; ++i) {
            s_.slot[i] = first + i;
            rays.pixel[i] = job_.pixels[first + i];
            s_.weight[i] = s_.red[i] = s_.green[i] = s_.blue[i] = 0.0f;
        }
        make_rays(job_.camera, head_.aabb, &ranges_, rays);
        march(job_.camera, head_.occupancy.get(), head_.filled.get(), rays);
        for (int i = 0; i < count; ++i) s_.used[i] = static_cast<int32_t>(rays.passed[i]);
        composite(cap, kFirstRound);
    }

    // Goes on with rays that `draw` left unfinished.
    void go_on(const Unfinished* rest, int count, int cap) {
        is_first_pass_ = false;
        yield.clock.start();
        RayTile& rays = s_.rays;
        rays.count = count;
        for (int i = 0; i < count; ++i) {
            const Unfinished& ray = rest[i];
            s_.slot[i] = ray.slot;
            rays.pixel[i] = job_.pixels[ray.slot];
            s_.weight[i] = ray.weight;
            s_.red[i] = ray.red;
            s_.green[i] = ray.green;
            s_.blue[i] = ray.blue;
            s_.used[i] = ray.used;
        }
        make_rays(job_.camera, head_.aabb, &ranges_, rays);
        for (int i = 0; i < count; ++i) {
            rays.low[i] = rest[i].low;
            rays.high[i] = rest[i].high;
        }
        composite(cap, kLaterRounds);
    }

  private:
    // Empty points in front of a ray's first one may be more than the ray is offered.
    int used(int i) const { return std::min(s_.used[i], cap_); }
    bool has_points(int i) const { return (s_.rays.low[i] | s_.rays.high[i]) != 0; }

    void composite(int cap, int round) {
        cap_ = cap;
        field_.begin(s_.rays);
        yield.clock.lap(kStageRays);
        int n_alive = 0;
        for (int i = 0; i < s_.rays.count; ++i) {
            if (has_points(i) && s_.used[i] < cap)
                s_.alive[n_alive++] = i;
            else
                finish(i, false);
        }
        while (n_alive > 0) {
            list_samples(n_alive, round, cap);
            yield.clock.lap(kStageList);
            yield.listed += s_.samples.count;
            yield.evaluated += field_.evaluate(job_.camera, s_.rays, s_.samples);
            n_alive = sum(n_alive, cap);
            yield.clock.lap(kStageSums);
            round = kLaterRounds;
        }
    }

    // The next occupied points of every living ray. Sixteen neighbouring rays go together, their
    // nearest points first: these lie side by side in the planes, and so in the cache.
    void list_samples(int n_alive, int round, int cap) {
        SampleList& list = s_.samples;
        int n = 0;
        for (int first = 0; first < n_alive; first += 16) {
            const int last = std::min(first + 16, n_alive);
            for (int j = first; j < last; ++j) s_.taken[j] = 0;
            for (int k = 0; k < round; ++k)
                for (int j = first; j < last; ++j) {
                    const int i = s_.alive[j];
                    uint64_t &low = s_.rays.low[i], &high = s_.rays.high[i];
                    if ((low | high) == 0 || s_.used[i] + k >= cap) continue;
                    int point;
                    if (low != 0) {
                        point = __builtin_ctzll(low);
                        low &= low - 1;
                    } else {
                        point = 64 + __builtin_ctzll(high);
                        high &= high - 1;
                    }
                    list.ray[n] = i;
                    list.point[n] = static_cast<float>(point);
                    list.through[n] = 1.0f - s_.weight[i];
                    s_.place[j][k] = n++;
                    s_.taken[j] = k + 1;
                }
        }
        list.count = n;
    }

    // w = α · T with T = 1 − W before the sample; a ray ends with the sample whose T is below the
    // floor, that sample included. Returns the rays that go on.
    int sum(int n_alive, int cap) {
        const SampleList& list = s_.samples;
        int remaining = 0;
        for (int j = 0; j < n_alive; ++j) {
            const int i = s_.alive[j];
            float total = s_.weight[i], red = s_.red[i], green = s_.green[i], blue = s_.blue[i];
            bool ended = false;
            int k = 0;
            while (k < s_.taken[j] && !ended) {
                const int sample = s_.place[j][k++];
                const float transmittance = 1.0f - total, w = list.alpha[sample] * transmittance;
                total += w;
                red += w * list.red[sample];
                green += w * list.green[sample];
                blue += w * list.blue[sample];
                ended = transmittance < floor_;
            }
            s_.used[i] += k;
            s_.weight[i] = total;
            s_.red[i] = red;
            s_.green[i] = green;
            s_.blue[i] = blue;
            if (!ended && has_points(i) && s_.used[i] < cap)
                s_.alive[remaining++] = i;
            else
                finish(i, ended);
        }
        return remaining;
    }

    void finish(int i, bool ended) {
        if (is_first_pass_) {
            const int length = used(i) - (ended ? 1 : 0);
            ++yield.lengths[std::min(length, kHistogram - 1)];
        }
        // Under the rule of the whole picture it is not known yet whether this ray gets more.
        const bool takes_more = has_points(i) || s_.used[i] > cap_;
        if (is_first_pass_ && job_.cap == 0 && !ended && takes_more) {
            yield.unfinished.push_back({s_.slot[i], s_.rays.low[i], s_.rays.high[i], s_.weight[i],
                                     s_.red[i], s_.green[i], s_.blue[i], s_.used[i]});
        } else {
            write(i);
        }
    }

    void write(int i) {
        const int n_used = used(i);
        yield.used += n_used;
        if (n_used == 0 && job_.original == nullptr) return;  // all outputs begin that way
        const int64_t slot = s_.slot[i];
        const float rgb[3] = {s_.red[i], s_.green[i], s_.blue[i]};
        if (job_.samples != nullptr)
            job_.samples[slot] = static_cast<uint8_t>(std::min(n_used, 255));
        if (job_.rgb != nullptr) {
            std::memcpy(job_.rgb + 3 * slot, rgb, sizeof rgb);
            job_.weight[slot] = s_.weight[i];
            return;
        }
        const int64_t pixel = job_.pixels[slot];
        const float through = 1.0f - s_.weight[i];
        for (int c = 0; c < 3; ++c) {
            const float behind = kLevels255.single[job_.background[3 * pixel + c]];
            // Not a number becomes 0, as far as one can arise at all.
            const float image = std::min(std::max(0.0f, rgb[c] + through * behind), 1.0f);
            job_.picture[3 * pixel + c] = blend(image, pixel, c);
        }
    }

    uint8_t blend(float image, int64_t pixel, int c) const {
        if (job_.original == nullptr) return static_cast<uint8_t>(image * 255.0f);
        const double share = kLevels255.whole[job_.mask[pixel]];
        const float original = kLevels255.single[job_.original[3 * pixel + c]];
        return static_cast<uint8_t>((image * share + original * (1.0 - share)) * 255.0);
    }

    const Head& head_;
    const DepthRanges& ranges_;
    const Job& job_;
    Scratch& s_;
    const float floor_;
    Field field_;
    bool is_first_pass_ = true;
    int cap_ = 0;
};

// Opacity of a step at each of n points. The points are rays of their own, from the origin and with
// one sample at distance 1; none has anything left to show, so that colours are left out.
inline void find_opacities(const Head& head, const Network::Layer& frame, const float* points,
                           int64_t n, Scratch& scratch, float* opacities) {
    StageClock clock;
    Field field(head, frame, scratch.activations, clock);
    Camera camera{};
    RayTile& rays = scratch.rays;
    SampleList& samples = scratch.samples;
    for (int64_t first = 0; first < n; first += kRaysPerTile) {
        const int count = static_cast<int>(std::min<int64_t>(kRaysPerTile, n - first));
        for (int i = 0; i < count; ++i) {
            const float* point = points + 3 * (first + i);
            rays.dx[i] = point[0];
            rays.dy[i] = point[1];
            rays.dz[i] = point[2];
            rays.near[i] = 1.0f;
            samples.ray[i] = i;
            samples.point[i] = samples.through[i] = 0.0f;
        }
        samples.count = count;
        field.evaluate(camera, rays, samples);
        std::memcpy(opacities + first, samples.alpha, static_cast<size_t>(count) * sizeof(float));
    }
}
