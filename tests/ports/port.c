/* A two-layer LSTM as it is ported to a small machine: weights in PyTorch's layout (gates i f g o,
 * two biases a layer), all in float. `-DFAULT=NAME` makes one of the faults below; `-DREAL=double`
 * gives the exact numbers of the same program; `-DORDER=n` adds up in another order.
 *
 *     port '%f' > y.csv
 */
#include <stdio.h>
#include <string.h>
#include <tgmath.h>

#ifndef REAL
#define REAL float
#endif
#ifndef FAULT
#define FAULT RIGHT
#endif
#ifndef ORDER
#define ORDER 0
#endif

#include "model.h" /* H, IN, T, the weights, X, H0 and C0 */

enum {
    RIGHT,
    RECURRENT_BIAS_LOST, RECURRENT_BIAS_2_LOST, INPUT_BIAS_1_LOST, BIASES_LOST, BIAS_TWICE,
    GATES_IFOG, GATES_FIGO, U_TRANSPOSED, U_2_TRANSPOSED, U_OF_LAYER_1_IN_2, INT8_WEIGHTS,
    FORGET_BIAS_ADDED, HARD_SIGMOID_FIFTH, HARD_SIGMOID_QUARTER, SIGMOID_TABLE, TANH_RATIONAL,
    SIGMOID_ON_G, NO_TANH_ON_C, H_FROM_OLD_C, CELL_CLIPPED, HALF_H,
    UPDATED_IN_PLACE, LAST_UNIT_LEFT_OUT, LAYER_2_A_STEP_LATE,
    STATES_ZEROED, LAYER_2_FROM_ZERO, H0_OF_LAYERS_EXCHANGED, STATES_EXCHANGED, H_NOT_CARRIED,
    WIPED_AFTER_10, C_WIPED_AFTER_10, WIPED_EACH_8,
    COLUMN_OFF_BY_ONE, INPUT_A_STEP_AHEAD, TIME_REVERSED, INPUT_RING_OF_16,
    FIRST_STEP_SKIPPED, C_PUT_OUT, LAYER_1_PUT_OUT
};

typedef struct {
    int inputs;
    REAL *w_ih, *w_hh, *b_ih, *b_hh;
} Layer;

static Layer layers[2] = {
    {IN, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0},
    {H, weight_ih_l1, weight_hh_l1, bias_ih_l1, bias_hh_l1},
};
static REAL h[2][H], c[2][H];

static REAL clip(REAL v, REAL low, REAL high)
{
    return v < low ? low : v > high ? high : v;
}

static REAL sigmoid(REAL z)
{
    if (FAULT == HARD_SIGMOID_FIFTH)
        return clip((REAL)0.2 * z + (REAL)0.5, 0, 1);
    if (FAULT == HARD_SIGMOID_QUARTER)
        return clip((REAL)0.25 * z + (REAL)0.5, 0, 1);
    if (FAULT == SIGMOID_TABLE) /* 256 entries from -8 to 8 */
        z = floor(clip((z + 8) * 16, 0, 255)) / 16 - 8;
    return 1 / (1 + exp(-z));
}

static REAL squash(REAL z)
{
    if (FAULT == TANH_RATIONAL) /* Pade, cut at its ends */
        return clip(z * (15 + z * z) / (15 + 6 * z * z), -1, 1);
    return tanh(z);
}

/* The float of the nearest half, for numbers of ordinary size: 11 bits are kept. */
static REAL half(REAL v)
{
    int exponent;
    REAL mantissa = frexp(v, &exponent);
    return ldexp(rint(ldexp(mantissa, 11)), exponent - 11);
}

static REAL dot(const REAL *w, const REAL *v, int n, int stride)
{
    REAL sum = 0, four[4] = {0, 0, 0, 0};
    int k = 0;
    if (ORDER == 1) { /* from the end */
        for (k = n - 1; k >= 0; k--)
            sum += w[k * stride] * v[k];
        return sum;
    }
    if (ORDER == 2) /* four sums at once */
        for (; k + 4 <= n; k += 4)
            for (int lane = 0; lane < 4; lane++)
                four[lane] += w[(k + lane) * stride] * v[k + lane];
    for (; k < n; k++)
        sum += w[k * stride] * v[k];
    return sum + ((four[0] + four[1]) + (four[2] + four[3]));
}

static REAL pre(int number, int gate, int unit, const REAL *x)
{
    const Layer *l = &layers[number];
    int row = gate * H + unit;
    const REAL *u = l->w_hh + row * H;
    int stride = 1;
    if (FAULT == U_OF_LAYER_1_IN_2)
        u = layers[0].w_hh + row * H;
    if (FAULT == U_TRANSPOSED || (FAULT == U_2_TRANSPOSED && number == 1)) {
        u = l->w_hh + gate * H * H + unit;
        stride = H;
    }
    REAL b_ih = l->b_ih[row], b_hh = l->b_hh[row];
    if (FAULT == RECURRENT_BIAS_LOST || (FAULT == RECURRENT_BIAS_2_LOST && number == 1))
        b_hh = 0;
    if (FAULT == INPUT_BIAS_1_LOST && number == 0)
        b_ih = 0;
    if (FAULT == BIASES_LOST)
        b_ih = b_hh = 0;
    if (FAULT == BIAS_TWICE)
        b_hh += b_ih + b_hh;
    if (ORDER == 3) /* the sum starts from the biases */
        return ((b_ih + b_hh) + dot(l->w_ih + row * l->inputs, x, l->inputs, 1))
            + dot(u, h[number], H, stride);
    return (dot(l->w_ih + row * l->inputs, x, l->inputs, 1) + b_ih)
        + (dot(u, h[number], H, stride) + b_hh);
}

static void step(int number, const REAL *x)
{
    static const int orders[3][4] = {{0, 1, 2, 3}, {0, 1, 3, 2}, {1, 0, 2, 3}};
    const int *order = orders[FAULT == GATES_IFOG ? 1 : FAULT == GATES_FIGO ? 2 : 0];
    REAL next[H];
    memcpy(next, h[number], sizeof next);
    for (int j = 0; j < (FAULT == LAST_UNIT_LEFT_OUT ? H - 1 : H); j++) {
        REAL i = sigmoid(pre(number, order[0], j, x));
        REAL f = sigmoid(pre(number, order[1], j, x) + (FAULT == FORGET_BIAS_ADDED));
        REAL z = pre(number, order[2], j, x);
        REAL g = FAULT == SIGMOID_ON_G ? sigmoid(z) : squash(z);
        REAL o = sigmoid(pre(number, order[3], j, x));
        REAL old = c[number][j];
        c[number][j] = f * old + i * g;
        if (FAULT == CELL_CLIPPED)
            c[number][j] = clip(c[number][j], -1, 1);
        REAL shown = FAULT == H_FROM_OLD_C ? old : c[number][j];
        next[j] = o * (FAULT == NO_TANH_ON_C ? shown : squash(shown));
        if (FAULT == HALF_H)
            next[j] = half(next[j]);
        if (FAULT == UPDATED_IN_PLACE)
            h[number][j] = next[j];
    }
    memcpy(h[number], next, sizeof next);
}

/* Eight bits a weight, one scale a matrix. */
static void quantise(REAL *w, int n)
{
    REAL most = 0;
    for (int k = 0; k < n; k++)
        most = fmax(most, fabs(w[k]));
    for (int k = 0; k < n; k++)
        w[k] = rint(w[k] / most * 127) * most / 127;
}

static void start(void)
{
    memcpy(h, H0, sizeof h);
    memcpy(c, C0, sizeof c);
    if (FAULT == STATES_ZEROED) {
        memset(h, 0, sizeof h);
        memset(c, 0, sizeof c);
    }
    if (FAULT == LAYER_2_FROM_ZERO) {
        memset(h[1], 0, sizeof h[1]);
        memset(c[1], 0, sizeof c[1]);
    }
    if (FAULT == H0_OF_LAYERS_EXCHANGED) {
        memcpy(h[0], H0 + H, sizeof h[0]);
        memcpy(h[1], H0, sizeof h[1]);
    }
    if (FAULT == STATES_EXCHANGED) {
        memcpy(h, C0, sizeof h);
        memcpy(c, H0, sizeof c);
    }
    if (FAULT == INT8_WEIGHTS)
        for (int l = 0; l < 2; l++) {
            quantise(layers[l].w_ih, 4 * H * layers[l].inputs);
            quantise(layers[l].w_hh, 4 * H * H);
        }
}

/* What happens between two steps. */
static void between(int t)
{
    if ((FAULT == WIPED_AFTER_10 && t == 10) || (FAULT == WIPED_EACH_8 && t % 8 == 0)) {
        memset(h, 0, sizeof h);
        memset(c, 0, sizeof c);
    }
    if (FAULT == C_WIPED_AFTER_10 && t == 10)
        memset(c, 0, sizeof c);
    if (FAULT == H_NOT_CARRIED)
        memset(h, 0, sizeof h);
}

static const REAL *input(int t)
{
    if (FAULT == COLUMN_OFF_BY_ONE)
        return X + t * IN + 1;
    if (FAULT == INPUT_A_STEP_AHEAD)
        return X + (t + 1 < T ? t + 1 : t) * IN;
    if (FAULT == TIME_REVERSED)
        return X + (T - 1 - t) * IN;
    if (FAULT == INPUT_RING_OF_16)
        return X + t % 16 * IN;
    return X + t * IN;
}

int main(int count, char **words)
{
    REAL between_layers[H];
    start();
    for (int t = 0; t < T; t++) {
        if (t > 0)
            between(t);
        if (FAULT != FIRST_STEP_SKIPPED || t > 0) {
            memcpy(between_layers, h[0], sizeof between_layers);
            step(0, input(t));
            step(1, FAULT == LAYER_2_A_STEP_LATE ? between_layers : h[0]);
        }
        const REAL *out = FAULT == C_PUT_OUT ? c[1] : h[FAULT != LAYER_1_PUT_OUT];
        for (int j = 0; j < H; j++) {
            printf(count > 1 ? words[1] : "%f", (double)out[j]);
            putchar(j < H - 1 ? ',' : '\n');
        }
    }
    return 0;
}
