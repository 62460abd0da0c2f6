"""The smallest model that still shows a fault: what ``tpumlir reduce`` does."""
