#pragma once

#include "tpumlir/codegen/Places.h"
#include "tpumlir/support/Float.h"

#include "mlir/IR/Operation.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>
#include <string>
#include <vector>

namespace tpumlir::codegen {

/// Where a command came from.
struct CommandOrigin {
  isa::Engine engine;
  size_t segment; ///< see CommandSegment
  uint64_t id;    ///< within its engine and segment
  mlir::Operation *op;
};

/// The streams of one part of the program (a "command group" of the bmodel),
/// ids from 1, each with its end command.
struct CommandSegment {
  std::vector<uint8_t> tiu, gdma;
  uint64_t tiuCount = 0, gdmaCount = 0;
};

/// An operand of a TIU command: a tensor, or a number that becomes one of the
/// type of the other operands.
struct Operand {
  Operand(const Local &local) : local(local) {}
  Operand(float number) : isConst(true), number(number) {}
  static Operand integer(int32_t number) {
    Operand operand(0.0f);
    operand.number = number;
    return operand;
  }
  /// One that has no sign, whatever the other operands have.
  static Operand unsignedInteger(int32_t number) {
    Operand operand = integer(number);
    operand.isUnsigned = true;
    return operand;
  }
  bool isConst = false, isUnsigned = false;
  double number = 0; ///< an f32 or an i32, both exact here
  Local local;
};

/// A number as an element of a type, low bits first; floats round half to even.
uint32_t bitsOf(double number, isa::DType type);

/// Sliding window of CONV and PorD, in elements.
struct WindowFields {
  int64_t kernelH = 1, kernelW = 1;
  int64_t strideH = 1, strideW = 1;
  int64_t dilationH = 1, dilationW = 1;
  int64_t insertH = 0, insertW = 0; ///< zeros between the input's elements
  int64_t up = 0, down = 0, left = 0, right = 0;
  bool rotate = false;
  int64_t padValue = 0; ///< of integers
};

/// Rows of a table that a list of indices chooses, for several lists: strides
/// from list to list, then from row to row, in elements.
struct IndexedRows {
  int64_t lists, tableRows, count, width;
  std::array<int64_t, 2> tableStride, rowsStride, indexStride;
  Global index{0, isa::DType::I32};
  bool sharedIndex = false; ///< one list of indices for all
};

/// Writes commands: fills the isa structs, numbers them per engine, finds out
/// which command of the other engine each one has to wait for, remembers the
/// op behind each. Commands mean what they would mean if they ran one after
/// another in the order of the calls.
///
/// A command that cannot be encoded or is not legal is an error at the current
/// op; `failed()` says so.
class Emitter {
public:
  enum class Mode {
    Write,   ///< into streams
    Check,   ///< every command is made and checked, and then forgotten
    Price,   ///< the same, silently, and the time that it takes is known
    Nothing, ///< none is made: only what memory it would take counts
  };
  explicit Emitter(Mode mode = Mode::Write) : mode(mode) {}

  void setOp(mlir::Operation *op) { this->op = op; }
  bool failed() const { return hasFailed; }
  /// Cycles until both engines are done, by the model of isa/Cycles.h. Of
  /// Mode::Price only.
  uint64_t cycles() const { return std::max(engines[0].free, engines[1].free); }
  /// Ends the streams.
  void finish();

  std::vector<CommandSegment> segments;
  std::vector<CommandOrigin> origins; ///< in the order of the calls

  //===--- Where tensors are ----------------------------------------------===//

  /// Places are remembered in Mode::Write only; otherwise all of this is
  /// nothing, and what has no place is kNoPlace.
  bool records() const { return mode == Mode::Write; }
  std::vector<PiecePlace> places;
  static constexpr size_t kNoPlace = ~size_t(0);

  /// The commands that come next.
  struct Mark {
    size_t segment;
    uint64_t next[2];
  };
  Mark mark() const;
  /// A piece is in local memory once the newest command of the engine has
  /// ended; those since a mark have made it.
  size_t placed(isa::Engine engine, const Mark &since, const Piece &piece,
                const Local &local, llvm::ArrayRef<size_t> reads = {});
  /// A piece is in global memory, at the same strides as among the elements.
  size_t placed(const Mark &since, const Piece &piece, const Global &global,
                const Nchw &size, llvm::ArrayRef<size_t> reads = {});
  /// All of a tensor is at its place in global memory.
  void placedWhole(mlir::Value value, const Mark &since);

  /// What an op by itself loads and stores between these two calls is found
  /// from the addresses of its operands and results.
  void beginAlone();
  void endAlone();
  /// Meanwhile somebody notes the places himself.
  class Noting {
  public:
    explicit Noting(Emitter &em) : em(em) { count(1); }
    ~Noting() { count(-1); }
    Noting(const Noting &) = delete;

  private:
    void count(int by) {
      if (em.alone)
        em.alone->noting += by;
    }
    Emitter &em;
  };

  //===--- GDMA -----------------------------------------------------------===//

  // Both sides of a copy have one element type; strides are in elements.

  /// Global memory -> lanes. `local.size` is the shape.
  void load(const Global &src, const Nchw &stride, const Local &local);
  /// As load, but channel 0 of the source goes into every lane.
  void loadEveryLane(const Global &src, const Nchw &stride, const Local &local);
  void store(const Local &local, const Global &dst, const Nchw &stride);
  /// Global -> global.
  void copy(const Global &src, const Nchw &srcStride, const Global &dst,
            const Nchw &dstStride, const Nchw &size);
  /// Global -> global, channels and columns exchanged: element [n, c, h, w]
  /// goes to [n, w, h, c]. Columns are contiguous on both sides.
  void transpose(const Global &src, const Nchw &srcStride, const Global &dst,
                 const Nchw &dstStride, const Nchw &size);
  /// Fills global memory with a number.
  void fill(const Global &dst, const Nchw &stride, const Nchw &size,
            double number);
  /// Rows of a matrix -> MM layout: local [rows, pieces, 1, width]. `columns`
  /// is the number that the matrix has; `pitch` leads from row to row. The
  /// global matrix is [columns, rows] if `transpose`.
  void loadMatrix(const Global &src, int64_t pitch, int64_t columns,
                  const Local &local, bool transpose);
  /// A stored matrix [columns, rows] of the rows and columns of `local`, which
  /// has its rows in the lanes: [1, rows, 1, columns].
  void loadTransposed(const Global &src, int64_t pitch, const Local &local);
  void storeMatrix(const Local &local, const Global &dst, int64_t pitch,
                   int64_t columns);
  /// rows[i] = table[index[i]] of each list; zeros where there is no such row.
  void gatherRows(const Global &table, const Global &rows,
                  const IndexedRows &fields);
  /// Into the lanes: a list is a channel, its rows follow each other.
  void gatherRows(const Global &table, const Local &rows, IndexedRows fields);
  /// table[index[i]] = rows[i], in the order of i; nothing where there is no
  /// such row.
  void scatterRows(const Global &rows, const Global &table,
                   const IndexedRows &fields);
  void scatterRows(const Local &rows, const Global &table, IndexedRows fields);

  //===--- TIU ------------------------------------------------------------===//

  /// res = a op b. Sizes of 1 in a tensor operand broadcast, except for the
  /// channel, which has to be `everyLane`.
  void ar(isa::ArOp op, const Local &res, const Operand &a, const Operand &b);
  /// Division by iterations of the reciprocal root: three are within 4 ulp, two
  /// within 2^-16.
  void div(const Local &res, const Operand &a, const Operand &b,
           int iterations = 3);
  /// round((a + b) * 2^shift) of integers, saturated.
  void addShift(const Local &res, const Operand &a, const Operand &b, int shift,
                support::Rounding rounding);
  /// a * 2^amount of integers for amounts of -31 to 31, rounded down; bits that
  /// leave on the left are lost. `isLogical` takes a for unsigned.
  void shift(const Local &res, const Operand &a, const Operand &amount,
             bool isLogical);
  /// Between element types, or rounding to integers if both are F32.
  void cast(const Local &res, const Local &a, support::Rounding rounding);
  void copyLocal(const Local &res, const Operand &a);
  void abs(const Local &res, const Local &a);
  /// All bits of `res` (i32) set where the relation of `op`, one of AR's
  /// selections, holds between a and b; else none.
  void mask(isa::ArOp op, const Local &res, const Operand &a, const Operand &b);
  /// res = a cmp b ? yes : no; all tensors aligned. Integers that are compared
  /// have one sign.
  void select(isa::CmpOp op, const Local &res, const Operand &a,
              const Operand &b, const Operand &yes, const Operand &no);
  /// Polynomial of `terms` coefficients, lowest first, in every lane at
  /// `table`.
  void taylor(const Local &res, const Local &x, const Local &table,
              int64_t terms);
  /// Reciprocal square root, three iterations.
  void rsqrt(const Local &res, const Local &x);
  /// Channels and columns exchanged: element [n, c, h, w] of `a` goes to
  /// [n, w, h, c] of `res`. Both are aligned.
  void transposeLanes(const Local &res, const Local &a);
  /// `a` once more with its channel 0 in another lane; `res` is where it lies
  /// in each lane. Both are aligned, of one batch.
  void copyToLanes(const Local &res, int64_t lane, const Local &a);
  /// The one channel of `a`, which is aligned, in every lane of `res`.
  void copyToEveryLane(const Local &res, const Local &a);
  /// Words of static memory -> every lane. `addr` as isa::kStaticMemory.
  void broadcastStatic(const Local &res, uint64_t addr);
  void conv(const Local &res, const Local &input, const Local &filter,
            const Local *bias, const WindowFields &window, bool accumulate);
  void depthwise(const Local &res, const Local &input, const Local &filter,
                 const Local *bias, const WindowFields &window);
  /// Sum of the window, each element times `factor`; of bytes into words, with
  /// a factor of 1.
  void avgPool(const Local &res, const Local &input, const WindowFields &window,
               float factor);
  void maxPool(const Local &res, const Local &input,
               const WindowFields &window);
  /// MM of matrices in MM layout; `lastWidth` is the width of the last K piece.
  void matMul(const Local &res, const Local &left, const Local &right,
              const Local *bias, int64_t lastWidth, bool accumulate);

  /// saturate(round(a * scale + offset)) of integers, in F32 arithmetic,
  /// rounded half to even. All tensors are aligned.
  void requantize(const Local &res, const Local &a, float scale, float offset);
  /// The same with a scale and an offset per channel: `rows` is [1, c, 1, 2].
  void requantize(const Local &res, const Local &a, const Local &rows);
  /// (a - zero) * scale of integers, in F32.
  void dequantize(const Local &res, const Local &a, float scale, int64_t zero);
  /// res = table[index], bytes; the table of 256 is in every lane. Result and
  /// index are aligned and not the same.
  void lookup(const Local &res, const Local &table, const Local &index);
  /// The same, four at a time, out of the copies of the table that
  /// isa::kGatherCopies speaks of; `table` is the first one. One batch, and
  /// everything in the part of a lane that is its own (L15).
  void lookupFour(const Local &res, const Local &table, const Local &index);

  /// MM2 of halves into F32; a row of each matrix per lane, [1, rows, 1,
  /// columns]. `right` is [columns of the result, depth] if `rightTranspose`.
  void halfMatMul(const Local &res, const Local &left, const Local &right,
                  bool rightTranspose, bool accumulate);

private:
  /// Bytes that a command touches in any lane: nearly all tensors start in lane
  /// 0, so two that share byte offsets share bytes.
  struct Access {
    int64_t begin, end;
    bool write;
    uint64_t id = 0;
  };
  struct EngineState {
    uint64_t nextId = 1;
    /// Newest command of the other engine that is known to have ended.
    uint64_t synced = 0;
    /// What this engine did since the other one last waited for it.
    std::vector<Access> recent;
    /// When it is free, and when each of its commands ended (Mode::Price).
    uint64_t free = 0;
    std::vector<uint64_t> ends{0};
  };

  using Accesses = llvm::SmallVector<Access, 6>;

  static Access read(const Local &local) {
    return {local.addr, local.addr + local.bytes(), false};
  }
  static Access write(const Local &local) {
    return {local.addr, local.addr + local.bytes(), true};
  }
  static Accesses touched(const Local &res,
                          std::initializer_list<const Operand *> operands);
  static Accesses touched(const Local &res, const Local &a, const Local &b,
                          const Local *bias);

  /// The op by itself that is being emitted.
  struct Alone {
    Mark since;
    size_t places; ///< those before it
    int64_t tile;
    int noting; ///< somebody else does
    bool sees() const { return noting == 0; }
  };

  PiecePlace &addPlace(isa::Engine engine, const Mark &since,
                       const Piece &piece, llvm::ArrayRef<size_t> reads);
  void noteLoad(const Global &from, const Nchw &stride, const Local &local);
  /// `localElements` are the strides of the elements as `local` has them.
  void noteStore(const Local &local, const Nchw &localElements,
                 const Global &to, const Nchw &stride, const Nchw &size);

  void push(isa::Command command, const Accesses &accesses);
  uint64_t dependency(isa::Engine engine, const Accesses &accesses);
  void lookup(isa::SgOp op, const Local &res, const Local &table,
              const Local &index);
  void startSegment();
  void note(isa::Engine engine, uint64_t id);
  void error(const std::string &message);

  mlir::Operation *op = nullptr;
  Mode mode;
  bool hasFailed = false;
  std::optional<Alone> alone;
  std::vector<uint8_t> forgotten; ///< bytes of the last command of a dry run
  EngineState engines[2];
};

} // namespace tpumlir::codegen
