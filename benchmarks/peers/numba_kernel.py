"""The ceiling: one fused loop per optimizer step, compiled by Numba, on all threads.

Each thread takes blocks of members through all steps, 64 lanes at a time, so that the state stays in registers
and first-level cache. Every lane carries its own xoshiro128+ generator; normals come from Box-Muller with
polynomial logarithm, sine and cosine (absolute error about 1e-6, |z| below 5.9), or are three-point variables
(0 and +-sqrt(3), the first five moments of a normal). Statistics are summed on the way, nothing is stored.

This is what a user gives up everything else for: the update rule is written out by hand, there are no
derivatives, and every shape compiles anew. performance.md found it at 1.1 times a hand-written AVX-512 kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numba import njit, prange

from ..interleave import Answer
from ..problem import EPS, SIGMA, Problem

LANES = 64
_OPTIMIZERS = {"SGD": 0, "SignSGD": 1, "RMSprop": 2, "Adam": 3}
_THRESHOLD = round(2**16 / 6)  # of 16 bits: a three-point variable is not 0 twice that often
_POINT = math.sqrt(2**16 / (2 * _THRESHOLD))  # and then this large, for a variance of exactly 1

_f = np.float32
_jit = njit(fastmath=True, inline="always", error_model="numpy")


@_jit
def _next(s, out):
    """Advances the generators [4, lane] and writes 32 bits per lane (the low bits are weak)."""
    for i in range(LANES):
        a, b, c, d = s[0, i], s[1, i], s[2, i], s[3, i]
        out[i] = a + d
        t = b << np.uint32(9)
        c ^= a
        d ^= b
        b ^= c
        a ^= d
        c ^= t
        s[0, i], s[1, i], s[2, i], s[3, i] = a, b, c, (d << np.uint32(11)) | (d >> np.uint32(21))


@_jit
def _box_muller(first, second, bits, floats, z, row):
    """Two rows of normals from two rows of random bits; `bits` and `floats` are one memory."""
    for i in range(LANES):  # u in (0, 1), of 24 bits
        floats[i] = (_f(np.int32(first[i] >> np.uint32(8))) + _f(0.5)) * _f(2.0**-24)
    for i in range(LANES):  # u = m 2^e with m in [sqrt(1/2), sqrt(2))
        exponent = (bits[i] - np.int32(0x3F3504F3)) >> np.int32(23)
        bits[i] -= exponent << np.int32(23)
        first[i] = np.uint32(exponent)
    for i in range(LANES):
        t = floats[i] - _f(1.0)
        p = _f(7.0376836292e-2)  # log(1 + t): minimax polynomial of Cephes
        p = p * t - _f(1.1514610310e-1)
        p = p * t + _f(1.1676998740e-1)
        p = p * t - _f(1.2420140846e-1)
        p = p * t + _f(1.4249322787e-1)
        p = p * t - _f(1.6668057665e-1)
        p = p * t + _f(2.0000714765e-1)
        p = p * t - _f(2.4999993993e-1)
        p = p * t + _f(3.3333331174e-1)
        logarithm = t + t * t * (p * t - _f(0.5)) + _f(0.69314718056) * _f(np.int32(first[i]))
        radius = np.sqrt(max(_f(0.0), _f(-2.0) * logarithm))
        # An angle in [-pi/4, pi/4) from 24 middle bits, turned by a right angle 0 to 3 times (two high bits).
        angle = _f(np.int32(second[i] << np.uint32(2))) * _f(math.pi / 2**33)
        q = angle * angle
        sine = angle * (
            _f(1.0) + q * (_f(-0.16666654611) + q * (_f(8.3321608736e-3) - q * _f(1.9515295891e-4)))
        )
        cosine = _f(1.0) + q * (
            _f(-0.5) + q * (_f(4.166664568e-2) + q * (_f(-1.388731625e-3) + q * _f(2.443315711e-5)))
        )
        sine, cosine = radius * sine, radius * cosine
        odd = np.uint32(np.uint32(second[i] >> np.uint32(30)) & np.uint32(1))
        x = sine if odd else cosine
        y = cosine if odd else sine
        negative = np.uint32(second[i] >> np.uint32(31))
        z[row, i] = -x if negative else x
        z[row + 1, i] = -y if negative != odd else y


@_jit
def _three_point(bits, z, row):
    """Two rows of three-point variables from one row of bits."""
    for i in range(LANES):
        for half in range(2):
            part = np.int32((bits[i] >> np.uint32(16 * half)) & np.uint32(0xFFFF))
            high = _f(_POINT) if part >= 65536 - _THRESHOLD else _f(0.0)
            z[row + half, i] = _f(-_POINT) if part < _THRESHOLD else high


@_jit
def _fill(s, gaussian, z, first, second, bits, floats):
    for row in range(0, z.shape[0], 2):
        _next(s, first)
        if gaussian:
            _next(s, second)
            _box_muller(first, second, bits, floats, z, row)
        else:
            _three_point(first, z, row)


@njit(fastmath=True, error_model="numpy")
def _chunk(kind, gaussian, hessian, start, steps, blocks, s, rate, b1, b2, eps, sigma, sums):
    """Adds |x|^2 and |x|^4 of some blocks of members to `sums` [step, 2]."""
    dim = start.size
    x, m = np.empty((dim, LANES), np.float32), np.empty((dim, LANES), np.float32)
    v, y = np.empty((dim, LANES), np.float32), np.empty((dim, LANES), np.float32)
    z = np.empty((dim + dim % 2, LANES), np.float32)
    first, second = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    bits = np.empty(LANES, np.int32)
    floats = bits.view(np.float32)
    square, g = np.empty(LANES, np.float32), np.empty(LANES, np.float32)
    one = _f(1.0)
    for _ in range(blocks):
        for i in range(dim):
            for lane in range(LANES):
                x[i, lane], m[i, lane], v[i, lane] = start[i], _f(0.0), _f(0.0)
        power1, power2 = one, one
        for step in range(steps):
            _fill(s, gaussian, z, first, second, bits, floats)
            power1, power2 = power1 * b1, power2 * b2
            scale1, scale2 = one / (one - power1), one / (one - power2)
            for i in range(dim):
                for lane in range(LANES):
                    y[i, lane] = x[i, lane] - sigma * z[i, lane]
            for lane in range(LANES):
                square[lane] = _f(0.0)
            for i in range(dim):
                for lane in range(LANES):
                    g[lane] = _f(0.0)
                for j in range(dim):
                    a = hessian[i, j]
                    for lane in range(LANES):
                        g[lane] += a * y[j, lane]
                if kind == 0:
                    for lane in range(LANES):
                        x[i, lane] -= rate * g[lane]
                elif kind == 1:
                    for lane in range(LANES):
                        x[i, lane] -= rate if g[lane] > _f(0.0) else -rate
                elif kind == 2:
                    for lane in range(LANES):
                        v[i, lane] += (one - b2) * (g[lane] * g[lane] - v[i, lane])
                        x[i, lane] -= rate * g[lane] / (np.sqrt(v[i, lane]) + eps)
                else:
                    for lane in range(LANES):
                        m[i, lane] += (one - b1) * (g[lane] - m[i, lane])
                        v[i, lane] += (one - b2) * (g[lane] * g[lane] - v[i, lane])
                        divisor = np.sqrt(v[i, lane] * scale2) + eps
                        x[i, lane] -= rate * (m[i, lane] * scale1) / divisor
                for lane in range(LANES):
                    square[lane] += x[i, lane] * x[i, lane]
            two, four = _f(0.0), _f(0.0)
            for lane in range(LANES):
                two += square[lane]
                four += square[lane] * square[lane]
            sums[step, 0] += two
            sums[step, 1] += four


@njit(parallel=True)
def _run(kind, gaussian, hessian, start, steps, blocks, seeds, rate, b1, b2, eps, sigma):
    """Sums of |x|^2 and |x|^4 after every step [chunk, step, 2]."""
    chunks = seeds.shape[0]
    sums = np.zeros((chunks, steps, 2))
    for chunk in prange(chunks):
        own = (chunk + 1) * blocks // chunks - chunk * blocks // chunks
        _chunk(
            kind, gaussian, hessian, start, steps, own, seeds[chunk], rate, b1, b2, eps, sigma, sums[chunk]
        )
    return sums


@njit(fastmath=True, error_model="numpy")
def _draw_chunk(gaussian, s, out):
    z = np.empty((out.shape[1], LANES), np.float32)
    first, second = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    bits = np.empty(LANES, np.int32)
    floats = bits.view(np.float32)
    for block in range(out.shape[0]):
        _fill(s, gaussian, z, first, second, bits, floats)
        out[block] = z


@njit(parallel=True)
def _draw(gaussian, seeds, out):
    chunks, blocks = seeds.shape[0], out.shape[0]
    for chunk in prange(chunks):
        rows = out[chunk * blocks // chunks : (chunk + 1) * blocks // chunks]
        _draw_chunk(gaussian, seeds[chunk], rows)


def _seeds(seed: int, chunks: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 2**32, (chunks, 4, LANES), dtype=np.uint32)


def discrete(problem: Problem, members: int, gaussian: bool = True) -> Callable[[int], Answer]:
    """The ensemble, with normals or with three-point variables."""
    blocks = -(-members // LANES)
    b1, b2 = problem.betas if problem.optimizer == "Adam" else (0.0, problem.decay)
    numbers = [_f(n) for n in (problem.learning_rate, b1, b2, EPS, SIGMA)]
    hessian, start = problem.hessian.astype(np.float32), problem.params.astype(np.float32)
    kind, chunks = _OPTIMIZERS[problem.optimizer], min(blocks, 16)

    def run(seed: int) -> Answer:
        sums = _run(
            kind, gaussian, hessian, start, problem.steps, blocks, _seeds(seed, chunks), *numbers
        ).sum(axis=0)
        second, fourth = sums[-1] / (blocks * LANES)
        return Answer(float(second), float(np.sqrt((fourth - second**2) / (blocks * LANES))))

    return run


def normals(count: int, gaussian: bool = True) -> Callable[[int], np.ndarray]:
    """Fills memory: [block, 16, lane] of normals or three-point variables."""
    blocks = count // (16 * LANES)
    out = np.empty((blocks, 16, LANES), np.float32)

    def run(seed: int) -> np.ndarray:
        _draw(gaussian, _seeds(seed, min(blocks, 16)), out)
        return out

    return run
