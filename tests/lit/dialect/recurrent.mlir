// RUN: tpumlir-opt %s -split-input-file -verify-diagnostics

func.func @lstm_c1(%x: tensor<2x3xf32>, %w: tensor<1x8x3xf32>, %r: tensor<1x8x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected an input of rank 3 and a positive hidden_size, got 2 and 2}}
  %y:3 = "top.LSTM"(%x, %w, %r, %n, %n, %n, %n) {bidirectional = false, hidden_size = 2 : i64} : (tensor<2x3xf32>, tensor<1x8x3xf32>, tensor<1x8x2xf32>, none, none, none, none) -> (tensor<*xf32>, none, none)
  return
}

// -----

func.func @gru_c2(%x: tensor<4x2x3xf32>, %w: tensor<1x6x3xf32>, %r: tensor<1x6x2xf32>, %h: tensor<1x3x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected an initial state of shape [1, 2, 2] for hidden_size 2, got [1, 3, 2]}}
  %y:2 = "top.GRU"(%x, %w, %r, %n, %h) {bidirectional = false, hidden_size = 2 : i64} : (tensor<4x2x3xf32>, tensor<1x6x3xf32>, tensor<1x6x2xf32>, none, tensor<1x3x2xf32>) -> (tensor<*xf32>, none)
  return
}

// -----

func.func @lstm_c3(%x: tensor<4x2x3xf32>, %w: tensor<1x8x3xf32>, %r: tensor<1x8x2xf32>, %c: tensor<4x2xf32>) {
  %n = "top.None"() : () -> none
  // expected-error @+1 {{expected no cont (write each sequence as one of the batch), got 'tensor<4x2xf32>'}}
  %y:3 = "top.LSTM"(%x, %w, %r, %n, %n, %n, %c) {bidirectional = false, hidden_size = 2 : i64} : (tensor<4x2x3xf32>, tensor<1x8x3xf32>, tensor<1x8x2xf32>, none, none, none, tensor<4x2xf32>) -> (tensor<*xf32>, none, none)
  return
}
