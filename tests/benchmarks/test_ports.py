"""benchmarks/ports.py: which lines of a compiler's assembly are the inner loop."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import ports

X86 = """
run:
	movq	%rdi, %rax
.L4:
	xorl	%ecx, %ecx
.L3:
	vmovdqu	(%rsi,%rcx), %ymm0
	vpshufb	(%rdx,%rcx), %ymm0, %ymm1	# a comment
	vpaddb	%ymm1, %ymm2, %ymm2
	vpaddb	%ymm1, %ymm3, %ymm3
	addq	$32, %rcx
	cmpq	%rcx, %r8
	jne	.L3
	vmovdqu	%ymm2, (%rax)
	vmovdqu	%ymm3, 32(%rax)
	vmovdqu	%ymm3, 64(%rax)
	vmovdqu	%ymm3, 96(%rax)
	vmovdqu	%ymm3, 128(%rax)
	decq	%r9
	jne	.L4
	ret
other:
.L7:
	vpaddb	%ymm1, %ymm2, %ymm2
	vpaddb	%ymm1, %ymm2, %ymm2
	vpaddb	%ymm1, %ymm2, %ymm2
	vpaddb	%ymm1, %ymm2, %ymm2
	jmp	.L9
	vpaddb	%ymm1, %ymm2, %ymm2
	jne	.L7
	ret
"""

ARM = """
run:
	movi	v0.4s, 0
.L2:
	ldr	q1, [x0, x1]
	tbl	v2.16b, {v1.16b}, v3.16b	// a comment
	add	v4.16b, v4.16b, v2.16b
	usra	v5.16b, v2.16b, 4
	add	x1, x1, #16
	cmp	x1, x2
	bne	.L2
	ret
"""


def test_the_innermost_loop_is_taken_and_its_work_counted():
    (loop,) = ports.largest(X86, "bgemm", "x86_64-linux-gnu")
    assert loop.function == "run"
    assert len(loop.lines) == 7
    assert loop.lines[1].split() == ["vpshufb", "(%rdx,%rcx),", "%ymm0,", "%ymm1"]
    assert ports.work(loop, "bgemm") == 256
    assert ports.work(loop, "bgemv") == 128


def test_arm_loops_keep_their_immediates():
    (loop,) = ports.largest(ARM, "bgemm", "aarch64-linux-gnu")
    assert len(loop.lines) == 7
    assert loop.lines[4].split() == ["add", "x1,", "x1,", "#16"]
    assert ports.work(loop, "bgemm") == 128


def test_pressure_is_spread_over_ports_of_a_kind():
    text = "Resources:\n[0]   - N1UnitV0\n[1]   - N1UnitV1\n[2]   - N1UnitL\n\n"
    text += "Resource pressure per iteration:\n[0]    [1]    [2]    \n 5.00   1.00   2.00   \n\n"
    assert ports.pressure(text) == 3.0
