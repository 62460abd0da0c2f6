#pragma once

#include <algorithm>
#include <cstdint>

#include <omp.h>

/// Loops that carry this are compiled for three generations of vector units;
/// the loader picks one.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define TPUMLIR_VECTORISED                                                     \
  __attribute__((target_clones("default", "arch=haswell", "arch=x86-64-v4")))
#else
#define TPUMLIR_VECTORISED
#endif

namespace tpumlir::kernels {

/// Elements of plain arithmetic below which a second thread costs more than it
/// brings (assumption: some 5 us to start and join a team).
constexpr int64_t kParallelWork = 32768;

/// Products below which oneDNN's operations get one thread only: starting and
/// joining a team takes as long, and much longer where other programs want the
/// processors too.
constexpr int64_t kParallelProducts = 100000;

/// Limits this thread's teams for as long as it lives.
class TeamSize {
public:
  TeamSize() : full(omp_get_max_threads()), now(full) {}
  ~TeamSize() { set(false); }
  TeamSize(const TeamSize &) = delete;
  void set(bool alone) {
    int want = alone ? 1 : full;
    if (want != now)
      omp_set_num_threads(now = want);
  }

private:
  int full, now;
};

/// Calls `body(begin, end)` for pieces of [0, count), on the threads that
/// oneDNN uses too. `work` is the total number of element operations.
template <typename Body>
void parallelFor(int64_t count, int64_t work, const Body &body) {
  if (work < kParallelWork || count < 2 || omp_get_max_threads() == 1)
    return body(int64_t(0), count);
#pragma omp parallel
  {
    int64_t threads = omp_get_num_threads();
    int64_t id = omp_get_thread_num();
    int64_t begin = count * id / threads;
    int64_t end = count * (id + 1) / threads;
    if (begin < end)
      body(begin, end);
  }
}

} // namespace tpumlir::kernels
