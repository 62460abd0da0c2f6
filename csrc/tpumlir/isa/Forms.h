#pragma once

#include "tpumlir/isa/Isa.h"

#include <array>

/// The forms of every instruction: its rows of the .def files, laid out. Only
/// for Tables.cpp, which checks them, and Encoding.cpp; others see them as
/// InstructionInfo.
namespace tpumlir::isa::forms {

/// A row of a .def file: the field and the struct member that holds it.
template <class T> struct Row {
  Field field;
  uint64_t T::*member;
};

/// The rows of one form, split into what is exported and what stays here.
template <class T, size_t N> struct FormTable {
  std::array<Field, N> fields;
  std::array<uint64_t T::*, N> members;

  static constexpr size_t kRows = N;

  constexpr unsigned bits() const {
    return fields.back().lsb + fields.back().width;
  }
};

template <class T, size_t N>
consteval FormTable<T, N> layOut(std::array<Row<T>, N> rows) {
  FormTable<T, N> table{};
  uint16_t lsb = 0;
  for (size_t i = 0; i < N; ++i) {
    table.fields[i] = rows[i].field;
    table.fields[i].lsb = lsb;
    table.members[i] = rows[i].member;
    lsb = uint16_t(lsb + rows[i].field.width);
  }
  return table;
}

/// The forms of one kind; specialised below.
template <class T> struct Forms;

#define FIELD(name, width, what) Row<T>{{#name, 0, width, what}, &T::name},
#define RESERVED(width) Row<T>{{"", 0, width, ""}, nullptr},

template <class T>
inline constexpr auto kTiuLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/tiu_long.def"
}));
template <class T>
inline constexpr auto kDmaTensorLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_tensor.def"
}));
template <class T>
inline constexpr auto kDmaGatherLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_gather.def"
}));

template <> struct Forms<Conv> {
  using T = Conv;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/conv.def"
  }));
};
template <> struct Forms<PorD> {
  using T = PorD;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/pord.def"
  }));
};
template <> struct Forms<Mm> {
  using T = Mm;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/mm.def"
  }));
};
template <> struct Forms<Mm2> {
  using T = Mm2;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/mm2.def"
  }));
};
template <> struct Forms<Ar> {
  using T = Ar;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/ar.def"
  }));
};
template <> struct Forms<RqDq> {
  using T = RqDq;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/rqdq.def"
  }));
};
template <> struct Forms<TransBc> {
  using T = TransBc;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/transbc.def"
  }));
};
template <> struct Forms<Sg> {
  using T = Sg;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sg.def"
  }));
};
template <> struct Forms<Sgl> {
  using T = Sgl;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sgl.def"
  }));
};
template <> struct Forms<Seg> {
  using T = Seg;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/seg.def"
  }));
};
template <> struct Forms<Sfu> {
  using T = Sfu;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sfu.def"
  }));
};
template <> struct Forms<Lin> {
  using T = Lin;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/lin.def"
  }));
};
template <> struct Forms<Cmp> {
  using T = Cmp;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/cmp.def"
  }));
};
template <> struct Forms<Vc> {
  using T = Vc;
  static constexpr auto kLong = kTiuLong<T>;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/vc.def"
  }));
};
template <> struct Forms<Lar> {
  using T = Lar;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/lar.def"
  }));
};
template <> struct Forms<Sys> {
  using T = Sys;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/sys.def"
  }));
};
template <> struct Forms<DmaTensor> {
  static constexpr auto kLong = kDmaTensorLong<DmaTensor>;
};
template <> struct Forms<DmaMatrix> {
  using T = DmaMatrix;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_matrix.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_matrix_short.def"
  }));
};
template <> struct Forms<DmaMaskedSelect> {
  using T = DmaMaskedSelect;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_masked_select.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_masked_select_short.def"
  }));
};
template <> struct Forms<DmaGeneral> {
  using T = DmaGeneral;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_general.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_general_short.def"
  }));
};
template <> struct Forms<DmaCwTranspose> {
  static constexpr auto kLong = kDmaTensorLong<DmaCwTranspose>;
};
template <> struct Forms<DmaNonzero> {
  using T = DmaNonzero;
  static constexpr auto kLong = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_nonzero.def"
  }));
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_nonzero_short.def"
  }));
};
template <> struct Forms<DmaGather> {
  static constexpr auto kLong = kDmaGatherLong<DmaGather>;
};
template <> struct Forms<DmaScatter> {
  static constexpr auto kLong = kDmaGatherLong<DmaScatter>;
};
template <> struct Forms<DmaSys> {
  using T = DmaSys;
  static constexpr auto kShort = layOut(std::to_array<Row<T>>({
#include "tpumlir/isa/dma_sys.def"
  }));
};
#undef FIELD
#undef RESERVED

template <class T>
concept HasLong = requires { Forms<T>::kLong; };
template <class T>
concept HasShort = requires { Forms<T>::kShort; };

inline constexpr unsigned kTiuLongBytes = 128;
inline constexpr unsigned kGdmaLongBytes = 96;

/// The members of the form that `command` names.
template <class T> std::span<uint64_t T::*const> membersOf(const T &command) {
  if constexpr (HasShort<T> && HasLong<T>) {
    if (command.cmd_short == 0)
      return Forms<T>::kLong.members;
    return Forms<T>::kShort.members;
  } else if constexpr (HasLong<T>) {
    return Forms<T>::kLong.members;
  } else {
    return Forms<T>::kShort.members;
  }
}

} // namespace tpumlir::isa::forms
