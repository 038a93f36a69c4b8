set encoding utf8
set colorsequence podo
set grid ytics lc '#dddddd'
set key outside right top
set border 3
$time0 << END
0 2.94275 2.93753 2.95411
1 5.06305 5.0552 5.07702
2 4.9112 4.82119 4.96011
3 8.1312 8.11622 8.15666
4 8.5072 8.49303 8.52706
5 14.2453 14.2014 14.2551
6 14.3338 14.3116 14.3706
7 26.1952 26.1721 26.2204
8 25.7899 25.7389 25.8202
9 39.6192 39.5723 39.7054
10 48.752 48.6615 48.7826
11 76.374 76.2521 76.4172
END
$time1 << END
0 8.01505 8.01014 8.01966
1 6.0408 6.02949 6.04629
2 9.00625 8.99948 9.01561
3 8.6789 8.6604 8.68712
4 10.2971 10.2825 10.3126
5 15.2992 15.2678 15.3304
6 15.3275 15.2848 15.3429
7 27.7376 27.712 27.7856
8 28.8299 28.8079 28.8901
9 40.7424 40.6441 40.777
10 55.436 55.3463 55.5409
11 76.744 76.6755 76.8106
END
$time2 << END
0 17.3612 17.3436 17.3789
1 24.1476 24.1152 24.1699
2 25.7882 25.7657 25.8004
3 34.6768 34.6474 34.7005
4 35.856 35.8263 35.8822
5 60.0085 59.9472 60.1097
6 61.3734 61.3331 61.4883
7 126.237 126.188 126.289
8 128.574 128.51 128.61
9 186.698 186.623 186.782
10 246.708 246.52 246.737
11 370.01 369.953 370.071
END
$time3 << END
0 3.2698 3.26612 3.27207
1 5.0921 5.07448 5.10276
2 4.5932 4.58502 4.60149
3 8.8045 8.79622 8.8244
4 8.1179 8.10392 8.13103
5 14.6411 14.6217 14.6622
6 13.9338 13.9089 13.9407
7 25.8976 25.8546 25.9392
8 25.2523 25.2239 25.2904
9 39.0464 38.9714 39.0874
10 47.436 47.4071 47.4937
11 74.96 74.8737 74.9793
END
$time4 << END
0 2.79215 2.78981 2.79431
1 4.6265 4.61559 4.63884
2 4.87015 4.86075 4.89765
3 8.05655 8.04372 8.06312
4 8.4368 8.42353 8.44488
5 13.5861 13.5589 13.6002
6 13.7115 13.7039 13.7521
7 24.7339 24.7033 24.7569
8 25.1157 25.0619 25.1543
9 36.0896 35.989 36.1604
10 47.392 47.2614 47.4386
11 69.256 69.072 69.3505
END
$time5 << END
0 3.1694 3.16421 3.17358
1 5.3532 5.3296 5.37498
2 5.2552 5.24753 5.26566
3 8.2856 8.2727 8.30899
4 8.0011 7.98562 8.01064
5 14.5611 14.5051 14.5836
6 14.5563 14.5457 14.5907
7 25.8315 25.8009 25.893
8 25.568 25.5099 25.6308
9 36.7968 36.7612 36.9226
10 48.016 47.8605 48.0661
11 69.902 69.8304 70.0258
END
$time6 << END
0 2.7659 2.76154 2.77001
1 4.9288 4.92474 4.93661
2 4.7336 4.72489 4.73967
3 8.0104 7.99374 8.03076
4 7.4155 7.40559 7.44008
5 14.0469 14.0015 14.0748
6 12.6694 12.608 12.6912
7 24.9877 24.9561 25.0663
8 23.8123 23.7794 23.8768
9 37.0384 36.9654 37.1482
10 46.452 46.3735 46.5075
11 69.96 69.8163 70.0324
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
0 0.501426 0.499497 0.502316
1 0.649859 0.648071 0.650868
2 0.667698 0.661114 0.680164
3 0.796274 0.793789 0.797744
4 0.762899 0.761122 0.764172
5 0.861178 0.860583 0.863842
6 0.859467 0.857267 0.860801
7 0.8982 0.897335 0.898994
8 0.910331 0.909263 0.912133
9 0.875858 0.873957 0.876896
10 0.939695 0.939105 0.941442
11 0.888444 0.887941 0.889863
END
$share1 << END
0 0.1841 0.183994 0.184213
1 0.544674 0.54418 0.545696
2 0.364103 0.363725 0.364377
3 0.746024 0.745318 0.747617
4 0.630287 0.629339 0.631181
5 0.801855 0.800223 0.803501
6 0.803749 0.802943 0.805994
7 0.848254 0.846788 0.849038
8 0.81434 0.812644 0.814961
9 0.851712 0.850989 0.853772
10 0.826394 0.824834 0.827734
11 0.88416 0.883394 0.884951
END
$share2 << END
0 0.0849924 0.0849059 0.0850784
1 0.136256 0.136131 0.136439
2 0.127159 0.127099 0.12727
3 0.186715 0.186587 0.186873
4 0.181005 0.180873 0.181155
5 0.204433 0.204089 0.204642
6 0.20073 0.200355 0.200862
7 0.186384 0.186307 0.186455
8 0.182598 0.182547 0.182689
9 0.185866 0.185783 0.185941
10 0.185693 0.185671 0.185835
11 0.183384 0.183354 0.183413
END
$share3 << END
0 0.451272 0.450959 0.451781
1 0.646151 0.644802 0.648395
2 0.713925 0.712639 0.715199
3 0.735382 0.733723 0.736074
4 0.799484 0.798193 0.800863
5 0.837897 0.836689 0.839009
6 0.884139 0.883706 0.885725
7 0.908522 0.907065 0.910032
8 0.929711 0.928311 0.930757
9 0.888707 0.887774 0.890418
10 0.965764 0.96459 0.966353
11 0.905203 0.90497 0.906246
END
$share4 << END
0 0.528471 0.528062 0.528914
1 0.711178 0.709287 0.712859
2 0.673326 0.669545 0.674629
3 0.803653 0.802998 0.804934
4 0.769265 0.768529 0.770476
5 0.902962 0.902023 0.904774
6 0.898477 0.895824 0.898975
7 0.951269 0.950381 0.952444
8 0.934767 0.933332 0.936772
9 0.961518 0.959634 0.964206
10 0.966661 0.965711 0.969333
11 0.979756 0.978422 0.982366
END
$share5 << END
0 0.465568 0.464955 0.466332
1 0.614635 0.612145 0.617357
2 0.623991 0.622752 0.624903
3 0.781436 0.779236 0.782654
4 0.811155 0.810189 0.812728
5 0.8425 0.841203 0.845751
6 0.846335 0.844336 0.846949
7 0.910847 0.908685 0.911928
8 0.918231 0.915981 0.920321
9 0.943039 0.939826 0.943953
10 0.954099 0.953104 0.957198
11 0.970702 0.968986 0.971698
END
$share6 << END
0 0.533487 0.532694 0.534328
1 0.667559 0.666503 0.668109
2 0.69275 0.691863 0.694027
3 0.808283 0.806234 0.809967
4 0.875212 0.87232 0.876383
5 0.873341 0.871608 0.876172
6 0.972384 0.97071 0.977118
7 0.941605 0.938653 0.942798
8 0.985933 0.983271 0.987297
9 0.936887 0.934117 0.938737
10 0.986222 0.985046 0.987891
11 0.969897 0.968894 0.971894
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
0 2.72348 2.71185 2.72934
1 1.19193 1.18976 1.19737
2 1.83416 1.81669 1.86891
3 1.06561 1.06417 1.06967
4 1.20935 1.20753 1.21267
5 1.0747 1.07101 1.07778
6 1.06803 1.06419 1.0714
7 1.05902 1.05736 1.06211
8 1.11904 1.1157 1.12073
9 1.0273 1.02565 1.03089
10 1.13862 1.13585 1.14089
11 1.00508 1.00417 1.00659
END
$ratio2 << END
0 5.9012 5.87598 5.91198
1 4.76169 4.7587 4.78106
2 5.24882 5.19749 5.35283
3 4.2654 4.24619 4.27047
4 4.21255 4.20736 4.22302
5 4.2125 4.20374 4.23179
6 4.28212 4.27217 4.29277
7 4.82018 4.81544 4.82447
8 4.98575 4.97692 4.99671
9 4.7119 4.70318 4.71609
10 5.063 5.05452 5.06837
11 4.84595 4.84181 4.85225
END
$ratio3 << END
0 1.10917 1.10621 1.11459
1 1.00528 1.00162 1.00677
2 0.934258 0.926402 0.952672
3 1.08207 1.07948 1.0845
4 0.95304 0.950658 0.955004
5 1.02887 1.02616 1.03022
6 0.971412 0.969459 0.974005
7 0.989775 0.986414 0.990682
8 0.979529 0.977587 0.980544
9 0.985557 0.981306 0.987164
10 0.973999 0.972014 0.974793
11 0.981517 0.980674 0.982242
END
$ratio4 << END
0 0.948846 0.94547 0.951024
1 0.913877 0.911138 0.916119
2 0.995008 0.982309 1.01497
3 0.990556 0.986308 0.993653
4 0.991862 0.988944 0.992828
5 0.954202 0.953642 0.955893
6 0.958054 0.955459 0.959498
7 0.943924 0.941903 0.945584
8 0.974342 0.970918 0.975842
9 0.90962 0.90834 0.91235
10 0.972448 0.971208 0.973681
11 0.906682 0.905347 0.907846
END
$ratio5 << END
0 1.07579 1.07116 1.07915
1 1.05618 1.05248 1.06314
2 1.07046 1.05816 1.08906
3 1.01937 1.01735 1.02167
4 0.939377 0.937142 0.942905
5 1.02351 1.02165 1.02516
6 1.01628 1.01386 1.01861
7 0.986955 0.984693 0.989142
8 0.989755 0.988148 0.994489
9 0.928277 0.926632 0.931297
10 0.984683 0.981406 0.987602
11 0.915158 0.914404 0.918041
END
$ratio6 << END
0 0.940258 0.936529 0.941494
1 0.973426 0.970634 0.977781
2 0.964043 0.953045 0.980714
3 0.986726 0.98091 0.987832
4 0.872307 0.868827 0.875031
5 0.987795 0.984004 0.989901
6 0.881949 0.879159 0.885238
7 0.954644 0.951913 0.957748
8 0.924795 0.922238 0.92613
9 0.933355 0.931643 0.938039
10 0.953107 0.952744 0.954536
11 0.91591 0.914034 0.917271
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
