set encoding utf8
set colorsequence podo
set grid ytics lc '#dddddd'
set key outside right top
set border 3
$time0 << END
0 2.35145 2.3496 2.3539
1 4.5873 4.57895 4.59734
2 4.7672 4.75211 4.78185
3 7.25465 7.2421 7.28283
4 7.29175 7.2869 7.31357
5 12.8555 12.8186 12.8834
6 12.9072 12.8711 12.9243
7 23.9306 23.8564 24.0011
8 24.0928 24.0112 24.1707
9 35.6032 35.5157 35.7077
10 46.16 46.0512 46.1986
11 68.74 68.6447 68.8778
END
$time1 << END
0 8.0164 8.00921 8.02115
1 6.0636 6.05062 6.07748
2 8.99945 8.99049 9.01095
3 8.68935 8.66693 8.70016
4 10.3099 10.2979 10.3241
5 15.3136 15.2763 15.3398
6 15.2811 15.2639 15.3206
7 27.7824 27.7458 27.8442
8 28.9163 28.8835 28.9964
9 40.6432 40.5666 40.6819
10 55.49 55.2436 55.6772
11 76.798 76.7195 76.8685
END
$time2 << END
0 17.4341 17.4154 17.4394
1 23.893 23.8741 23.9101
2 25.756 25.7548 25.7784
3 34.668 34.6523 34.717
4 35.8288 35.8036 35.8667
5 60.031 59.9305 60.1388
6 61.551 61.4709 61.6028
7 126.345 126.228 126.393
8 128.637 128.56 128.738
9 186.813 186.684 186.877
10 246.942 246.895 247.137
11 370.266 370.222 370.449
END
$time3 << END
0 3.28085 3.2786 3.28211
1 5.09175 5.07338 5.10251
2 4.59135 4.57973 4.60143
3 8.8016 8.77697 8.81638
4 8.2528 8.24737 8.26637
5 14.6085 14.5789 14.6951
6 13.9205 13.891 13.9576
7 25.9563 25.9307 25.994
8 25.0294 24.9785 25.0886
9 39.072 39.0474 39.0831
10 47.458 47.4068 47.5226
11 74.956 74.8761 75.0244
END
$time4 << END
0 2.8096 2.80735 2.82067
1 4.6376 4.62841 4.66281
2 4.87335 4.86729 4.87964
3 8.06 8.05052 8.07958
4 8.3971 8.36605 8.4042
5 13.5659 13.5526 13.6054
6 13.6981 13.6631 13.7171
7 24.8224 24.7475 24.9184
8 25.0304 24.9191 25.0868
9 36.24 36.1602 36.288
10 47.422 47.333 47.5539
11 69.278 69.1901 69.3844
END
$time5 << END
0 3.17395 3.16994 3.17661
1 5.37625 5.35551 5.38987
2 5.2791 5.26491 5.29299
3 8.27225 8.26602 8.29774
4 7.99655 7.98588 8.01114
5 14.5242 14.4616 14.5577
6 14.5376 14.5098 14.5889
7 25.8656 25.8085 25.9481
8 25.5958 25.5532 25.6341
9 37.0208 36.9147 37.1133
10 47.818 47.7127 47.9193
11 70.044 69.9868 70.1713
END
$time6 << END
0 2.77355 2.76799 2.77558
1 4.9228 4.91528 4.93567
2 4.71575 4.70968 4.72951
3 7.9963 7.97236 8.02038
4 7.4171 7.40202 7.43351
5 14.0006 13.977 14.0217
6 12.7061 12.6863 12.7329
7 25.0496 24.9109 25.0961
8 23.8752 23.8405 23.9069
9 37.0848 37.0419 37.2222
10 46.328 46.1066 46.4363
11 69.97 69.9115 70.0433
END
set title 'rms_norm bfloat16, NVIDIA H100 80GB HBM3: time of a call, us' noenhanced
set ylabel 'time of a call, us'
set logscale y
set yrange [*:*]
set ytics nomirror autofreq
set xrange [-0.5:11.5]
set xtics rotate by -45 nomirror ('128 x 4096' 0, '1024 x 2048' 1, '512 x 4096' 2, '2048 x 2048' 3, '1024 x 4096' 4, '4096 x 2048' 5, '2048 x 4096' 6, '8192 x 2048' 7, '4096 x 4096' 8, '8192 x 3072' 9, '8192 x 4096' 10, '16384 x 3072' 11)
set terminal svg size 900,520 dynamic font 'sans-serif,13' background '#ffffff'
set output 'rms_norm-time.svg'
plot $time0 using 1:2:3:4 with yerrorlines lc 1 pt 7 ps 0.6 title 'kernmill' noenhanced, \
  $time1 using 1:2:3:4 with yerrorlines lc 2 pt 7 ps 0.6 title 'torch' noenhanced, \
  $time2 using 1:2:3:4 with yerrorlines lc 3 pt 7 ps 0.6 title 'chain' noenhanced, \
  $time3 using 1:2:3:4 with yerrorlines lc 4 pt 7 ps 0.6 title 'compile' noenhanced, \
  $time4 using 1:2:3:4 with yerrorlines lc 5 pt 7 ps 0.6 title 'liger' noenhanced, \
  $time5 using 1:2:3:4 with yerrorlines lc 6 pt 7 ps 0.6 title 'quack' noenhanced, \
  $time6 using 1:2:3:4 with yerrorlines lc 7 pt 7 ps 0.6 title 'flashinfer' noenhanced
unset output
set terminal pngcairo size 900,520 font 'sans-serif,11'
set output 'rms_norm-time.png'
plot $time0 using 1:2:3:4 with yerrorlines lc 1 pt 7 ps 0.6 title 'kernmill' noenhanced, \
  $time1 using 1:2:3:4 with yerrorlines lc 2 pt 7 ps 0.6 title 'torch' noenhanced, \
  $time2 using 1:2:3:4 with yerrorlines lc 3 pt 7 ps 0.6 title 'chain' noenhanced, \
  $time3 using 1:2:3:4 with yerrorlines lc 4 pt 7 ps 0.6 title 'compile' noenhanced, \
  $time4 using 1:2:3:4 with yerrorlines lc 5 pt 7 ps 0.6 title 'liger' noenhanced, \
  $time5 using 1:2:3:4 with yerrorlines lc 6 pt 7 ps 0.6 title 'quack' noenhanced, \
  $time6 using 1:2:3:4 with yerrorlines lc 7 pt 7 ps 0.6 title 'flashinfer' noenhanced
unset output
$share0 << END
0 0.620009 0.619364 0.620496
1 0.719813 0.718241 0.721126
2 0.688175 0.686067 0.690359
3 0.891346 0.887896 0.89289
4 0.887615 0.884967 0.888206
5 0.954905 0.952836 0.957652
6 0.955043 0.953782 0.957725
7 0.982974 0.980087 0.986034
8 0.980298 0.977138 0.983628
9 0.972137 0.969294 0.974533
10 0.990468 0.98964 0.992808
11 0.987576 0.985601 0.988948
END
$share1 << END
0 0.181867 0.18176 0.18203
1 0.544561 0.543317 0.545729
2 0.364541 0.364076 0.364904
3 0.744175 0.743251 0.7461
4 0.627772 0.626912 0.628505
5 0.801623 0.800255 0.803581
6 0.806681 0.804598 0.807589
7 0.846694 0.844815 0.84781
8 0.816776 0.814518 0.817703
9 0.851587 0.850777 0.853195
10 0.823932 0.821162 0.827607
11 0.883955 0.883144 0.88486
END
$share2 << END
0 0.0836244 0.083599 0.0837145
1 0.138199 0.138101 0.138309
2 0.127375 0.127264 0.127381
3 0.186524 0.186261 0.186608
4 0.180644 0.180453 0.180772
5 0.20449 0.204123 0.204833
6 0.200272 0.200104 0.200533
7 0.186183 0.186111 0.186355
8 0.183603 0.183459 0.183713
9 0.185272 0.185209 0.1854
10 0.185145 0.184998 0.18518
11 0.183344 0.183253 0.183366
END
$share3 << END
0 0.444373 0.444202 0.444678
1 0.6485 0.647133 0.650849
2 0.714532 0.712966 0.716345
3 0.734685 0.733453 0.736746
4 0.784251 0.782964 0.784768
5 0.840312 0.83536 0.842022
6 0.885524 0.883168 0.887406
7 0.906262 0.904949 0.907156
8 0.943618 0.94139 0.945537
9 0.885831 0.88558 0.886389
10 0.963378 0.962068 0.964419
11 0.905678 0.904852 0.906644
END
$share4 << END
0 0.518907 0.516871 0.519322
1 0.712006 0.708157 0.713419
2 0.673185 0.672318 0.674024
3 0.802283 0.800338 0.803228
4 0.770774 0.770123 0.773635
5 0.9049 0.902271 0.905788
6 0.899901 0.898656 0.902205
7 0.94766 0.944009 0.95053
8 0.943578 0.941457 0.947794
9 0.955055 0.953792 0.957163
10 0.964109 0.961435 0.965923
11 0.979907 0.978404 0.981152
END
$share5 << END
0 0.459339 0.458955 0.45992
1 0.614183 0.612631 0.616562
2 0.621444 0.619814 0.623119
3 0.781698 0.779297 0.782287
4 0.809382 0.807908 0.810464
5 0.845189 0.843246 0.848851
6 0.847935 0.844952 0.84956
7 0.90944 0.90655 0.911452
8 0.922737 0.921356 0.924273
9 0.934912 0.932582 0.937599
10 0.956125 0.954104 0.958236
11 0.969191 0.967432 0.969983
END
$share6 << END
0 0.525651 0.525266 0.526708
1 0.670756 0.669007 0.671782
2 0.695683 0.693658 0.696579
3 0.808674 0.806246 0.811103
4 0.872614 0.870687 0.874392
5 0.876804 0.875479 0.878283
6 0.970159 0.968115 0.971672
7 0.939065 0.937324 0.944293
8 0.989233 0.987922 0.990671
9 0.933299 0.929853 0.93438
10 0.986876 0.984576 0.991616
11 0.970216 0.9692 0.971028
END
set title 'rms_norm bfloat16, NVIDIA H100 80GB HBM3: share of the speed of light' noenhanced
set ylabel 'share of the speed of light'
unset logscale y
set yrange [0:1.05]
set ytics nomirror autofreq
set xrange [-0.5:11.5]
set xtics rotate by -45 nomirror ('128 x 4096' 0, '1024 x 2048' 1, '512 x 4096' 2, '2048 x 2048' 3, '1024 x 4096' 4, '4096 x 2048' 5, '2048 x 4096' 6, '8192 x 2048' 7, '4096 x 4096' 8, '8192 x 3072' 9, '8192 x 4096' 10, '16384 x 3072' 11)
set terminal svg size 900,520 dynamic font 'sans-serif,13' background '#ffffff'
set output 'rms_norm-share.svg'
plot $share0 using 1:2:3:4 with yerrorlines lc 1 pt 7 ps 0.6 title 'kernmill' noenhanced, \
  $share1 using 1:2:3:4 with yerrorlines lc 2 pt 7 ps 0.6 title 'torch' noenhanced, \
  $share2 using 1:2:3:4 with yerrorlines lc 3 pt 7 ps 0.6 title 'chain' noenhanced, \
  $share3 using 1:2:3:4 with yerrorlines lc 4 pt 7 ps 0.6 title 'compile' noenhanced, \
  $share4 using 1:2:3:4 with yerrorlines lc 5 pt 7 ps 0.6 title 'liger' noenhanced, \
  $share5 using 1:2:3:4 with yerrorlines lc 6 pt 7 ps 0.6 title 'quack' noenhanced, \
  $share6 using 1:2:3:4 with yerrorlines lc 7 pt 7 ps 0.6 title 'flashinfer' noenhanced
unset output
set terminal pngcairo size 900,520 font 'sans-serif,11'
set output 'rms_norm-share.png'
plot $share0 using 1:2:3:4 with yerrorlines lc 1 pt 7 ps 0.6 title 'kernmill' noenhanced, \
  $share1 using 1:2:3:4 with yerrorlines lc 2 pt 7 ps 0.6 title 'torch' noenhanced, \
  $share2 using 1:2:3:4 with yerrorlines lc 3 pt 7 ps 0.6 title 'chain' noenhanced, \
  $share3 using 1:2:3:4 with yerrorlines lc 4 pt 7 ps 0.6 title 'compile' noenhanced, \
  $share4 using 1:2:3:4 with yerrorlines lc 5 pt 7 ps 0.6 title 'liger' noenhanced, \
  $share5 using 1:2:3:4 with yerrorlines lc 6 pt 7 ps 0.6 title 'quack' noenhanced, \
  $share6 using 1:2:3:4 with yerrorlines lc 7 pt 7 ps 0.6 title 'flashinfer' noenhanced
unset output
$ratio0 << END
END
$ratio1 << END
0 3.40707 3.40498 3.41624
1 1.32247 1.31689 1.32483
2 1.88847 1.88109 1.89103
3 1.19664 1.19365 1.20048
4 1.41363 1.40912 1.41659
5 1.1913 1.18909 1.19532
6 1.18482 1.18177 1.18824
7 1.16198 1.15836 1.16406
8 1.20113 1.19535 1.20825
9 1.14095 1.13731 1.14394
10 1.20237 1.19684 1.20703
11 1.11737 1.1143 1.11867
END
$ratio2 << END
0 7.41044 7.40575 7.42001
1 5.21013 5.19042 5.21977
2 5.40312 5.38828 5.41982
3 4.78251 4.75966 4.78834
4 4.91181 4.90044 4.92066
5 4.67288 4.65706 4.68317
6 4.773 4.75694 4.78319
7 5.28103 5.26703 5.2955
8 5.33853 5.32108 5.35745
9 5.24708 5.23583 5.26055
10 5.35033 5.34666 5.36173
11 5.38647 5.37547 5.39536
END
$ratio3 << END
0 1.39569 1.39285 1.39847
1 1.10995 1.10485 1.11435
2 0.96222 0.960773 0.965165
3 1.21253 1.208 1.21548
4 1.13241 1.12767 1.13452
5 1.13713 1.13223 1.14307
6 1.07923 1.07629 1.08411
7 1.08632 1.08208 1.08873
8 1.03924 1.03573 1.04123
9 1.09716 1.09389 1.09941
10 1.02857 1.02529 1.03063
11 1.08989 1.08894 1.09113
END
$ratio4 << END
0 1.19604 1.1926 1.20004
1 1.01069 1.00857 1.01712
2 1.02148 1.01954 1.0257
3 1.11004 1.10818 1.11318
4 1.15029 1.14598 1.15638
5 1.05758 1.05383 1.05787
6 1.06113 1.06024 1.06175
7 1.03788 1.03508 1.03917
8 1.03868 1.03362 1.0423
9 1.01859 1.0116 1.02122
10 1.02923 1.02568 1.03005
11 1.00797 1.00598 1.00903
END
$ratio5 << END
0 1.35001 1.34761 1.35284
1 1.171 1.16584 1.17752
2 1.10533 1.10442 1.1072
3 1.13952 1.13832 1.14212
4 1.09741 1.09154 1.09998
5 1.12947 1.12507 1.1346
6 1.1278 1.12466 1.12952
7 1.08149 1.07923 1.08371
8 1.0621 1.05963 1.06456
9 1.03949 1.03535 1.04328
10 1.0376 1.03081 1.03818
11 1.01903 1.01692 1.02065
END
$ratio6 << END
0 1.17959 1.1768 1.18134
1 1.07437 1.07111 1.07637
2 0.988056 0.986567 0.997692
3 1.10108 1.09672 1.10707
4 1.01806 1.01328 1.0221
5 1.08855 1.08397 1.09464
6 0.984486 0.982306 0.989959
7 1.04565 1.04222 1.05088
8 0.990211 0.98805 0.994993
9 1.04349 1.04109 1.04482
10 1.0038 0.999367 1.00697
11 1.01778 1.01544 1.0204
END
set title 'rms_norm bfloat16, NVIDIA H100 80GB HBM3: time over that of the first call, to 2' noenhanced
set ylabel 'time over that of the first call, to 2'
set logscale y
set yrange [0.5:2]
set ytics nomirror (0.5, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2)
set xrange [-0.5:11.5]
set xtics rotate by -45 nomirror ('128 x 4096' 0, '1024 x 2048' 1, '512 x 4096' 2, '2048 x 2048' 3, '1024 x 4096' 4, '4096 x 2048' 5, '2048 x 4096' 6, '8192 x 2048' 7, '4096 x 4096' 8, '8192 x 3072' 9, '8192 x 4096' 10, '16384 x 3072' 11)
set terminal svg size 900,520 dynamic font 'sans-serif,13' background '#ffffff'
set output 'rms_norm-ratio.svg'
plot $ratio1 using 1:2:3:4 with yerrorlines lc 2 pt 7 ps 0.6 title 'torch' noenhanced, \
  $ratio2 using 1:2:3:4 with yerrorlines lc 3 pt 7 ps 0.6 title 'chain' noenhanced, \
  $ratio3 using 1:2:3:4 with yerrorlines lc 4 pt 7 ps 0.6 title 'compile' noenhanced, \
  $ratio4 using 1:2:3:4 with yerrorlines lc 5 pt 7 ps 0.6 title 'liger' noenhanced, \
  $ratio5 using 1:2:3:4 with yerrorlines lc 6 pt 7 ps 0.6 title 'quack' noenhanced, \
  $ratio6 using 1:2:3:4 with yerrorlines lc 7 pt 7 ps 0.6 title 'flashinfer' noenhanced, \
  1 with lines lc 'grey' dt 2 notitle
unset output
set terminal pngcairo size 900,520 font 'sans-serif,11'
set output 'rms_norm-ratio.png'
plot $ratio1 using 1:2:3:4 with yerrorlines lc 2 pt 7 ps 0.6 title 'torch' noenhanced, \
  $ratio2 using 1:2:3:4 with yerrorlines lc 3 pt 7 ps 0.6 title 'chain' noenhanced, \
  $ratio3 using 1:2:3:4 with yerrorlines lc 4 pt 7 ps 0.6 title 'compile' noenhanced, \
  $ratio4 using 1:2:3:4 with yerrorlines lc 5 pt 7 ps 0.6 title 'liger' noenhanced, \
  $ratio5 using 1:2:3:4 with yerrorlines lc 6 pt 7 ps 0.6 title 'quack' noenhanced, \
  $ratio6 using 1:2:3:4 with yerrorlines lc 7 pt 7 ps 0.6 title 'flashinfer' noenhanced, \
  1 with lines lc 'grey' dt 2 notitle
unset output
