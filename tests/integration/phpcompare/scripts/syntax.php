<?php
echo 1;
if (
