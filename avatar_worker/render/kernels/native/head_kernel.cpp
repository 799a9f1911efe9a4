// Draws SyncTalk heads on the CPU. One file for the compiler, one library per instruction set.
//
// Every pixel's ray is walked through the occupied cells, its samples are looked up in the feature
// planes, sent through small networks and summed front to back; nothing is kept between frames.
// A tile of 256 rays goes through all of it at once, in the caches of one core.
//
// avatar_head_create makes a head (read-only from then on), avatar_head_render draws with it; any
// number of threads may do so at the same time. No globals but the permission to use the tiles.
#include <atomic>
#include <barrier>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "painter.hpp"

namespace {

constexpr int kTilesAtOnce = 2;
constexpr int kRowsAtOnce = 16;
constexpr int kOfferedSamples = 16;  // the rule of the whole picture offers at least this many
constexpr int kLargestRound = 8;

// Samples that rounds over the whole picture offer a ray, from how many samples rays can take.
// Rays of the picture that were not listed can take none.
int offered_samples(const int64_t* lengths, int64_t n_rays) {
    int offered = 0;
    while (offered < kOfferedSamples) {
        int64_t alive = offered == 0 ? n_rays : 0;
        for (int k = offered; offered != 0 && k < kHistogram; ++k) alive += lengths[k];
        if (alive == 0) break;
        offered += static_cast<int>(std::clamp<int64_t>(n_rays / alive, 1, kLargestRound));
    }
    return offered;
}

}  // namespace

// A head and the memory of the threads that have drawn it.
struct AvatarHead {
    explicit AvatarHead(const HeadSource& source) : head(source) {}

    std::unique_ptr<Buffer<Scratch>> borrow() {
        const std::lock_guard<std::mutex> guard(mutex);
        if (idle.empty()) return nullptr;
        auto scratch = std::move(idle.back());
        idle.pop_back();
        return scratch;
    }
    void give_back(std::unique_ptr<Buffer<Scratch>> scratch) {
        const std::lock_guard<std::mutex> guard(mutex);
        idle.push_back(std::move(scratch));
    }

    const Head head;
    std::mutex mutex;
    std::vector<std::unique_ptr<Buffer<Scratch>>> idle;
};

namespace {

class Frame {
  public:
    Frame(AvatarHead& owner, Job& job)
        : owner_(owner),
          job_(job),
          layer_(frame_layer(owner.head, job.audio, job.eye)),
          ranges_(job.camera, owner.head.occupied),
          meeting_(job.threads) {}

    void draw() {
        std::vector<std::thread> helpers;
        for (int i = 1; i < job_.threads; ++i) {
            try {
                helpers.emplace_back([this] { work(); });
            } catch (const std::system_error&) {  // no more threads to be had: fewer do
                (void)meeting_.arrive_and_drop();
            }
        }
        work();
        for (std::thread& helper : helpers) helper.join();
    }

  private:
    void work() {
        auto scratch = owner_.borrow();
        if (!scratch) scratch = std::make_unique<Buffer<Scratch>>(1);
        {
            const lanes::NoDenormals no_denormals;
            Painter painter(owner_.head, layer_, ranges_, job_, (*scratch)[0]);
            if (job_.picture != nullptr) copy_base();
            meeting_.arrive_and_wait();
            draw_rays(painter);
            collect(painter);
            meeting_.arrive_and_wait();
            if (job_.cap == 0) {
                if (!decided_.exchange(true)) job_.cap_used = offered_samples(job_.lengths, n_rays());
                meeting_.arrive_and_wait();
                draw_rest(painter);
                collect(painter);
            }
        }
        owner_.give_back(std::move(scratch));
    }

    int64_t n_rays() const { return static_cast<int64_t>(job_.camera.height) * job_.camera.width; }

    // What is not drawn: the original, or the background; blending with nothing leaves every level.
    void copy_base() {
        const uint8_t* base = job_.original != nullptr ? job_.original : job_.background;
        const int64_t row_bytes = 3 * static_cast<int64_t>(job_.camera.width);
        for (int row; (row = next_row_.fetch_add(kRowsAtOnce)) < job_.camera.height;) {
            const int rows = std::min(kRowsAtOnce, static_cast<int>(job_.camera.height) - row);
            const int64_t first = row * row_bytes;
            std::memcpy(job_.picture + first, base + first, static_cast<size_t>(rows * row_bytes));
        }
    }

    void draw_rays(Painter& painter) {
        const int cap = job_.cap == 0 ? kOfferedSamples : job_.cap;
        constexpr int64_t part = kTilesAtOnce * kRaysPerTile;
        for (int64_t first; (first = next_ray_.fetch_add(part)) < job_.n_pixels;)
            for (int64_t i = first; i < std::min(first + part, job_.n_pixels); i += kRaysPerTile)
                painter.draw(i, static_cast<int>(std::min<int64_t>(kRaysPerTile, job_.n_pixels - i)),
                             cap);
    }

    void draw_rest(Painter& painter) {
        const int64_t n = static_cast<int64_t>(rest_.size());
        for (int64_t i; (i = next_rest_.fetch_add(kRaysPerTile)) < n;)
            painter.go_on(&rest_[i], static_cast<int>(std::min<int64_t>(kRaysPerTile, n - i)),
                          job_.cap_used);
    }

    void collect(Painter& painter) {
        const Yield part = std::exchange(painter.yield, Yield());
        const std::lock_guard<std::mutex> guard(mutex_);
        job_.listed += part.listed;
        job_.evaluated += part.evaluated;
        job_.used += part.used;
        for (int k = 0; k < kHistogram; ++k) job_.lengths[k] += part.lengths[k];
        for (int k = 0; k < kStages; ++k) job_.stages[k] += part.clock.ticks[k];
        rest_.insert(rest_.end(), part.unfinished.begin(), part.unfinished.end());
    }

    AvatarHead& owner_;
    Job& job_;
    const Network::Layer layer_;
    const DepthRanges ranges_;
    std::barrier<> meeting_;
    std::mutex mutex_;
    std::vector<Unfinished> rest_;
    std::atomic<int> next_row_{0};
    std::atomic<int64_t> next_ray_{0}, next_rest_{0};
    std::atomic<bool> decided_{false};
};

}  // namespace

#define AVATAR_EXPORT __attribute__((visibility("default")))

extern "C" {

// Raised when HeadSource, Job or their meaning changes; cpu.py compares.
AVATAR_EXPORT int avatar_abi() { return 3; }

// 0 when this process may use the instructions the library was built for.
AVATAR_EXPORT int avatar_prepare() {
#if defined(AVATAR_ISA_AMX)
    return request_tiles() ? 0 : 1;
#else
    return 0;
#endif
}

// Multiplies and adds from registers, as fast as one thread can; returns how many of both.
AVATAR_EXPORT int64_t avatar_peak(int64_t rounds) { return Network::multiply_adds(rounds); }

AVATAR_EXPORT AvatarHead* avatar_head_create(const HeadSource* source) {
    try {
        return new AvatarHead(*source);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

// Opacity of a step at any points, [n][3], for one audio and eye vector. 0, or 1 without memory.
AVATAR_EXPORT int avatar_head_opacities(AvatarHead* head, const float* audio, const float* eye,
                                        const float* points, int64_t n, float* opacities) {
    try {
        auto scratch = head->borrow();
        if (!scratch) scratch = std::make_unique<Buffer<Scratch>>(1);
        {
            const lanes::NoDenormals no_denormals;
            const Network::Layer frame = frame_layer(head->head, audio, eye);
            find_opacities(head->head, frame, points, n, (*scratch)[0], opacities);
        }
        head->give_back(std::move(scratch));
        return 0;
    } catch (const std::exception&) {
        return 1;
    }
}

AVATAR_EXPORT void avatar_head_destroy(AvatarHead* head) { delete head; }

// 0, or 1 when there is no memory or no thread to be had. Counts of the job are written.
AVATAR_EXPORT int avatar_head_render(AvatarHead* head, Job* job) {
    job->listed = job->evaluated = job->used = 0;
    job->cap_used = job->cap;
    std::fill(job->lengths, job->lengths + kHistogram, 0);
    std::fill(job->stages, job->stages + kStages, 0);
    try {
        Frame(*head, *job).draw();
        return 0;
    } catch (const std::exception&) {
        return 1;
    }
}
}
