<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="ru_RU" sourcelanguage="en">
  <context>
    <name>SRGeo</name>
    <message>
      <source>Check models</source>
      <translation>Проверить модели</translation>
    </message>
    <message>
      <source>diagnosis</source>
      <translation>диагностика</translation>
    </message>
    <message>
      <source>models</source>
      <translation>модели</translation>
    </message>
    <message>
      <source>installation</source>
      <translation>установка</translation>
    </message>
    <message>
      <source>Opens every model, checks that its file is whole, and says what each was made for and where it must not be believed. Then looks over the installation: packages, drivers, graphics card. Nothing is changed, nothing is fetched.</source>
      <translation>Открывает каждую модель, проверяет целостность файла и говорит, для чего она сделана и где ей нельзя верить. Затем проверяет установку: пакеты, драйверы, видеокарту. Ничего не меняется и не скачивается.</translation>
    </message>
    <message>
      <source>Models and installation</source>
      <translation>Модели и установка</translation>
    </message>
    <message>
      <source>Web page (*.html)</source>
      <translation>Веб-страница (*.html)</translation>
    </message>
    <message>
      <source>Models that can be used</source>
      <translation>Пригодные модели</translation>
    </message>
    <message>
      <source>Faults found</source>
      <translation>Найдено неисправностей</translation>
    </message>
    <message>
      <source>whole and usable</source>
      <translation>цела и пригодна</translation>
    </message>
    <message>
      <source>model</source>
      <translation>модель</translation>
    </message>
    <message>
      <source>bands</source>
      <translation>каналы</translation>
    </message>
    <message>
      <source>for</source>
      <translation>назначение</translation>
    </message>
    <message>
      <source>limits</source>
      <translation>ограничения</translation>
    </message>
    <message>
      <source>state</source>
      <translation>состояние</translation>
    </message>
    <message>
      <source>part</source>
      <translation>часть</translation>
    </message>
    <message>
      <source>details</source>
      <translation>подробности</translation>
    </message>
    <message>
      <source>remedy</source>
      <translation>что сделать</translation>
    </message>
    <message>
      <source>SR Geo: models and installation</source>
      <translation>SR Geo: модели и установка</translation>
    </message>
    <message>
      <source>Models</source>
      <translation>Модели</translation>
    </message>
    <message>
      <source>Installation</source>
      <translation>Установка</translation>
    </message>
    <message>
      <source>{path}: the page cannot be written ({reason}); choose another folder.</source>
      <translation>{path}: не удаётся записать страницу ({reason}); выберите другую папку.</translation>
    </message>
    <message>
      <source>not installed; only Train regional model needs it</source>
      <translation>не установлено; нужно только для «Обучить региональную модель»</translation>
    </message>
    <message>
      <source>SR Geo, Set up…, Install: tick “with training of regional models” and press Repair</source>
      <translation>SR Geo, Настройка…, «Установить»: отметьте «с обучением региональных моделей» и нажмите «Восстановить»</translation>
    </message>
    <message>
      <source>works</source>
      <translation>работает</translation>
    </message>
    <message>
      <source>look at it</source>
      <translation>обратите внимание</translation>
    </message>
    <message>
      <source>missing</source>
      <translation>отсутствует</translation>
    </message>
    <message>
      <source>Enhance field parcels</source>
      <translation>Повысить разрешение на полях</translation>
    </message>
    <message>
      <source>super-resolution</source>
      <translation>сверхразрешение</translation>
    </message>
    <message>
      <source>fields</source>
      <translation>поля</translation>
    </message>
    <message>
      <source>agriculture</source>
      <translation>сельское хозяйство</translation>
    </message>
    <message>
      <source>crops</source>
      <translation>посевы</translation>
    </message>
    <message>
      <source>Makes a satellite raster four times finer where there are field parcels; the rest is not computed. Parcels may be in any CRS. Invalid outlines are repaired, and what lies outside the raster is left out with a warning.

Means over a parcel stay what the satellite measured. Texture inside a field finer than about half an input pixel is a likely guess: never count rows in it.</source>
      <translation>Делает спутниковый растр вчетверо детальнее там, где есть поля; остальное не вычисляется. Контуры полей могут быть в любой системе координат. Неправильные контуры исправляются, а лежащее вне растра пропускается с предупреждением.

Средние значения по полю остаются такими, какими их измерил спутник. Рисунок внутри поля мельче примерно половины исходного пикселя — лишь вероятная догадка: не считайте по нему рядки.</translation>
    </message>
    <message>
      <source>only the parcels, nodata around them</source>
      <translation>только поля, вокруг них нет данных</translation>
    </message>
    <message>
      <source>all within the rectangle about them</source>
      <translation>всё в прямоугольнике вокруг них</translation>
    </message>
    <message>
      <source>Enhance</source>
      <translation>Повысить разрешение</translation>
    </message>
    <message>
      <source>A file for each parcel, named by the column</source>
      <translation>Отдельный файл на каждое поле, имя из столбца</translation>
    </message>
    <message>
      <source>Instead of one raster. Parcels of the same value come into one file. The folder of the files stands below.</source>
      <translation>Вместо одного растра. Поля с одинаковым значением попадают в один файл. Папка для файлов указывается ниже.</translation>
    </message>
    <message>
      <source>Folder of the files for each parcel</source>
      <translation>Папка для файлов отдельных полей</translation>
    </message>
    <message>
      <source>Number of rasters written</source>
      <translation>Число записанных растров</translation>
    </message>
    <message>
      <source>A file for each parcel is wanted: choose the folder of the files, too.</source>
      <translation>Нужен отдельный файл на каждое поле: выберите и папку для файлов.</translation>
    </message>
    <message>
      <source>A folder of files is wanted: choose the column that names them, too.</source>
      <translation>Нужна папка с отдельными файлами: выберите и столбец, по которому их назвать.</translation>
    </message>
    <message>
      <source>A file for each parcel holds that parcel only: choose “only the parcels”.</source>
      <translation>В отдельном файле может быть только само поле: выберите «только поля, вокруг них нет данных».</translation>
    </message>
    <message>
      <source>Choose where the enhanced raster is to be written, or a column and a folder for a file of each parcel.</source>
      <translation>Выберите, куда записать растр, либо столбец и папку для отдельных файлов полей.</translation>
    </message>
    <message>
      <source>{path}: the folder cannot be made ({reason}); choose another one.</source>
      <translation>{path}: не удаётся создать папку ({reason}); выберите другую.</translation>
    </message>
    <message>
      <source>Enhance raster</source>
      <translation>Повысить разрешение растра</translation>
    </message>
    <message>
      <source>sharpen</source>
      <translation>повысить резкость</translation>
    </message>
    <message>
      <source>upscale</source>
      <translation>увеличить</translation>
    </message>
    <message>
      <source>Makes a satellite raster four times finer along each axis. The result covers the same ground and keeps CRS, data type, units, nodata and band names; seen through the sensor again it gives the input back.

The model was trained on farmland. Detail finer than about half an input pixel is a likely guess, not a measurement: ask for the map of added detail to see where.</source>
      <translation>Делает спутниковый растр вчетверо детальнее по каждой оси. Результат покрывает ту же местность и сохраняет систему координат, тип данных, единицы, значение «нет данных» и названия каналов; если снова «посмотреть» на него тем же сенсором, получится исходный растр.

Модель обучена на сельхозугодьях. Детали мельче примерно половины исходного пикселя — вероятная догадка, а не измерение: где именно, покажет карта добавленных деталей.</translation>
    </message>
    <message>
      <source>Raster to enhance</source>
      <translation>Исходный растр</translation>
    </message>
    <message>
      <source>Field parcels</source>
      <translation>Контуры полей</translation>
    </message>
    <message>
      <source>Metres to grow every parcel</source>
      <translation>На сколько метров расширить каждое поле</translation>
    </message>
    <message>
      <source>On the ground, whatever the CRS. Below 0 the parcels shrink, which leaves out their edges.</source>
      <translation>На местности, при любой системе координат. Меньше 0 — поля сужаются, и края полей не учитываются.</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>Модель</translation>
    </message>
    <message>
      <source>auto takes the shipped model that uses most bands of the raster.</source>
      <translation>«auto» берёт поставляемую модель, которая использует больше всего каналов растра.</translation>
    </message>
    <message>
      <source>Model from a file instead</source>
      <translation>Вместо неё модель из файла</translation>
    </message>
    <message>
      <source>Blue band</source>
      <translation>Синий канал</translation>
    </message>
    <message>
      <source>Green band</source>
      <translation>Зелёный канал</translation>
    </message>
    <message>
      <source>Red band</source>
      <translation>Красный канал</translation>
    </message>
    <message>
      <source>Near infrared band</source>
      <translation>Канал ближнего ИК</translation>
    </message>
    <message>
      <source>Only where the file does not say which band is which: then name all of them.</source>
      <translation>Только если в файле не указано, какой канал каким является: тогда назовите все.</translation>
    </message>
    <message>
      <source>take over detail of the others</source>
      <translation>перенять детали у других</translation>
    </message>
    <message>
      <source>interpolate</source>
      <translation>интерполировать</translation>
    </message>
    <message>
      <source>leave out</source>
      <translation>не включать</translation>
    </message>
    <message>
      <source>Bands that the model does not know</source>
      <translation>Каналы, которых модель не знает</translation>
    </message>
    <message>
      <source>through the sensor's blur</source>
      <translation>через размытие сенсора</translation>
    </message>
    <message>
      <source>by plain 4 × 4 means</source>
      <translation>по простым средним 4 × 4</translation>
    </message>
    <message>
      <source>not at all</source>
      <translation>не привязывать</translation>
    </message>
    <message>
      <source>Tie the result to the measured values</source>
      <translation>Привязка результата к измеренным значениям</translation>
    </message>
    <message>
      <source>Blur of the sensor, in pixels of the result</source>
      <translation>Размытие сенсора в пикселях результата</translation>
    </message>
    <message>
      <source>Usually 1 to 3.2. Left empty, it is measured on the edges in the scene, band by band.</source>
      <translation>Обычно от 1 до 3,2. Если не задано, измеряется по границам на снимке для каждого канала.</translation>
    </message>
    <message>
      <source>automatic</source>
      <translation>автоматически</translation>
    </message>
    <message>
      <source>processor</source>
      <translation>процессор</translation>
    </message>
    <message>
      <source>NVIDIA graphics card</source>
      <translation>видеокарта NVIDIA</translation>
    </message>
    <message>
      <source>Compute on</source>
      <translation>На чём вычислять</translation>
    </message>
    <message>
      <source>Processor threads</source>
      <translation>Потоки процессора</translation>
    </message>
    <message>
      <source>Left empty: all processors.</source>
      <translation>Не задано — все процессоры.</translation>
    </message>
    <message>
      <source>Side of a tile, in pixels of the raster</source>
      <translation>Сторона тайла в пикселях растра</translation>
    </message>
    <message>
      <source>A smaller one needs less memory; the result is the same.</source>
      <translation>Меньшему нужно меньше памяти; результат тот же.</translation>
    </message>
    <message>
      <source>Write a Cloud Optimized GeoTIFF</source>
      <translation>Записать Cloud Optimized GeoTIFF</translation>
    </message>
    <message>
      <source>Extent</source>
      <translation>Охват</translation>
    </message>
    <message>
      <source>Left empty: all of the raster, or all parcels.</source>
      <translation>Не задано — весь растр или все поля.</translation>
    </message>
    <message>
      <source>Enhanced raster</source>
      <translation>Растр повышенного разрешения</translation>
    </message>
    <message>
      <source>Map of added detail</source>
      <translation>Карта добавленных деталей</translation>
    </message>
    <message>
      <source>Per pixel, how much was added beyond what the sensor measured.</source>
      <translation>Для каждого пикселя — сколько добавлено сверх измеренного сенсором.</translation>
    </message>
    <message>
      <source>Area, mean of each band and NDVI before and after, and added detail, with the outlines of the parcels.</source>
      <translation>Площадь, среднее по каждому каналу и NDVI до и после, добавленные детали — вместе с контурами полей.</translation>
    </message>
    <message>
      <source>Parcel statistics</source>
      <translation>Статистика по полям</translation>
    </message>
    <message>
      <source>Report</source>
      <translation>Отчёт</translation>
    </message>
    <message>
      <source>Before and after with a slider, spectra, and a table of the parcels.</source>
      <translation>До и после с ползунком, спектры и таблица полей.</translation>
    </message>
    <message>
      <source>{layer} ×4</source>
      <translation>{layer} ×4</translation>
    </message>
    <message>
      <source>Parcel report</source>
      <translation>Отчёт по полям</translation>
    </message>
    <message>
      <source>zonal statistics</source>
      <translation>зональная статистика</translation>
    </message>
    <message>
      <source>Enhances the field parcels on a satellite raster and writes what came out of it: a page with pictures before and after, spectra and a table of the parcels, and the table as a layer. Area, mean of each band and NDVI are given before and after, so that one sees what the enhancement changed.

The enhanced raster itself is not kept: use Enhance field parcels for that.</source>
      <translation>Повышает разрешение спутникового растра на полях и записывает, что получилось: страницу с картинками до и после, спектрами и таблицей полей, а также эту таблицу в виде слоя. Площадь, средние по каналам и NDVI даны до и после, чтобы было видно, что изменила обработка.

Сам растр повышенного разрешения не сохраняется: для этого есть «Повысить разрешение на полях».</translation>
    </message>
    <message>
      <source>Number of parcels</source>
      <translation>Число полей</translation>
    </message>
    <message>
      <source>Quality report</source>
      <translation>Отчёт о качестве</translation>
    </message>
    <message>
      <source>accuracy</source>
      <translation>точность</translation>
    </message>
    <message>
      <source>compare</source>
      <translation>сравнение</translation>
    </message>
    <message>
      <source>Compares an enhanced raster with a reference of the same grid, band by band: PSNR, SSIM, errors, bias, spectral angle and ERGAS. With the raster that was enhanced it also tells whether the result, seen through the sensor again, gives that raster back, and how plain interpolation would have done.

Pixels without data in either raster are left out.</source>
      <translation>Сравнивает растр повышенного разрешения с эталоном на той же сетке, канал за каналом: PSNR, SSIM, ошибки, систематическое отклонение, спектральный угол и ERGAS. Если дан исходный растр, показывает также, получается ли он, если снова «посмотреть» на результат сенсором, и что дала бы простая интерполяция.

Пиксели без данных в любом из растров не учитываются.</translation>
    </message>
    <message>
      <source>Reference (the truth)</source>
      <translation>Эталон (истина)</translation>
    </message>
    <message>
      <source>Raster that was enhanced</source>
      <translation>Исходный растр</translation>
    </message>
    <message>
      <source>Optional: adds consistency, and what interpolation alone would reach.</source>
      <translation>Необязательно: добавляет согласованность и то, чего достигла бы одна интерполяция.</translation>
    </message>
    <message>
      <source>Pixels to leave out on every side</source>
      <translation>Сколько пикселей не учитывать с каждой стороны</translation>
    </message>
    <message>
      <source>Figures</source>
      <translation>Показатели</translation>
    </message>
    <message>
      <source>All figures, for programs.</source>
      <translation>Все показатели, для программ.</translation>
    </message>
    <message>
      <source>PSNR of all bands, dB</source>
      <translation>PSNR всех каналов, дБ</translation>
    </message>
    <message>
      <source>SSIM of all bands</source>
      <translation>SSIM всех каналов</translation>
    </message>
    <message>
      <source>Quality of {layer}</source>
      <translation>Качество: {layer}</translation>
    </message>
    <message>
      <source>Reference: {path}</source>
      <translation>Эталон: {path}</translation>
    </message>
    <message>
      <source>PSNR, dB</source>
      <translation>PSNR, дБ</translation>
    </message>
    <message>
      <source>mean error</source>
      <translation>средняя ошибка</translation>
    </message>
    <message>
      <source>bias</source>
      <translation>систематическое отклонение</translation>
    </message>
    <message>
      <source>all bands</source>
      <translation>все каналы</translation>
    </message>
    <message>
      <source>Against the reference</source>
      <translation>По сравнению с эталоном</translation>
    </message>
    <message>
      <source>Interpolation alone</source>
      <translation>Одна интерполяция</translation>
    </message>
    <message>
      <source>spectral angle, °</source>
      <translation>спектральный угол, °</translation>
    </message>
    <message>
      <source>valid in both, %</source>
      <translation>есть данные в обоих, %</translation>
    </message>
    <message>
      <source>seen through the sensor again, mean difference</source>
      <translation>средняя разность при повторном «взгляде» сенсора</translation>
    </message>
    <message>
      <source>invented detail, share</source>
      <translation>доля выдуманных деталей</translation>
    </message>
    <message>
      <source>missed detail, share</source>
      <translation>доля упущенных деталей</translation>
    </message>
    <message>
      <source>true detail, share</source>
      <translation>доля верных деталей</translation>
    </message>
    <message>
      <source>Altogether</source>
      <translation>В целом</translation>
    </message>
    <message>
      <source>Train regional model</source>
      <translation>Обучить региональную модель</translation>
    </message>
    <message>
      <source>machine learning</source>
      <translation>машинное обучение</translation>
    </message>
    <message>
      <source>fine-tuning</source>
      <translation>дообучение</translation>
    </message>
    <message>
      <source>region</source>
      <translation>регион</translation>
    </message>
    <message>
      <source>Goes on training a shipped model with your own rasters, and adds the new one to the list of models. A strip of the rasters is held out, on which the gain is measured.

It pays with some ten million pixels of one region, and takes hours without a graphics card: minutes are enough to try the steps only. The part “training” must be installed (SR Geo, Set up…). Fill in the licences in the recipe before you give the model to anybody.</source>
      <translation>Продолжает обучение поставляемой модели на ваших растрах и добавляет новую в список моделей. Полоса растров откладывается, и на ней измеряется выигрыш.

Это имеет смысл от примерно десяти миллионов пикселей одного региона и без видеокарты занимает часы: за минуты можно лишь опробовать сами шаги. Нужна установленная часть «обучение» (SR Geo, Настройка…). Прежде чем передавать модель кому-либо, впишите в рецепт лицензии.</translation>
    </message>
    <message>
      <source>Folder with your rasters</source>
      <translation>Папка с вашими растрами</translation>
    </message>
    <message>
      <source>GeoTIFFs, Sentinel-2 and Landsat folders; it is searched to the bottom and not changed.</source>
      <translation>Файлы GeoTIFF, папки Sentinel-2 и Landsat; просматривается со всеми вложенными и не изменяется.</translation>
    </message>
    <message>
      <source>Minutes to train</source>
      <translation>Сколько минут обучать</translation>
    </message>
    <message>
      <source>Which band is which</source>
      <translation>Какой канал каким является</translation>
    </message>
    <message>
      <source>Only where the files do not say: r=3,g=2,b=1,nir=4 (numbers from 1).</source>
      <translation>Только если в файлах это не указано: r=3,g=2,b=1,nir=4 (номера с 1).</translation>
    </message>
    <message>
      <source>Changes of the recipe, one a line</source>
      <translation>Изменения рецепта, по одному в строке</translation>
    </message>
    <message>
      <source>Keys and values, for instance loop.iterations=2000.</source>
      <translation>Ключи и значения, например loop.iterations=2000.</translation>
    </message>
    <message>
      <source>Add it to the list of models</source>
      <translation>Добавить в список моделей</translation>
    </message>
    <message>
      <source>Folder of the run</source>
      <translation>Папка обучения</translation>
    </message>
    <message>
      <source>Trained model</source>
      <translation>Обученная модель</translation>
    </message>
    <message>
      <source>Name of the model</source>
      <translation>Название модели</translation>
    </message>
    <message>
      <source>The part “training” is not installed: open SR Geo, Set up…, tick it and repair.</source>
      <translation>Часть «обучение» не установлена: откройте SR Geo, Настройка…, отметьте её и нажмите «Восстановить».</translation>
    </message>
    <message>
      <source>The plugin is not whole: its folder wheels is empty. Install the plugin again.</source>
      <translation>Модуль неполон: его папка wheels пуста. Установите модуль заново.</translation>
    </message>
    <message>
      <source>{folder}: cannot be written ({reason}); set the variable SR_GEO_QGIS_DATA to another folder.</source>
      <translation>{folder}: нельзя записать ({reason}); укажите другую папку в переменной SR_GEO_QGIS_DATA.</translation>
    </message>
    <message>
      <source>There are {free} MB free in {folder}, {needed} MB are needed: make room first.</source>
      <translation>В {folder} свободно {free} МБ, а нужно {needed} МБ: сначала освободите место.</translation>
    </message>
    <message>
      <source>Done.</source>
      <translation>Готово.</translation>
    </message>
    <message>
      <source>Making the environment…</source>
      <translation>Создаётся окружение…</translation>
    </message>
    <message>
      <source>Downloading and installing the packages; this takes some minutes…</source>
      <translation>Пакеты скачиваются и устанавливаются; это займёт несколько минут…</translation>
    </message>
    <message>
      <source>Installing the part for NVIDIA graphics cards…</source>
      <translation>Устанавливается часть для видеокарт NVIDIA…</translation>
    </message>
    <message>
      <source>Checking…</source>
      <translation>Проверка…</translation>
    </message>
    <message>
      <source>code {code}</source>
      <translation>код {code}</translation>
    </message>
    <message>
      <source>The environment cannot be made with {python}: {reason}. Choose another Python.</source>
      <translation>Не удаётся создать окружение с помощью {python}: {reason}. Выберите другой Python.</translation>
    </message>
    <message>
      <source>SR Geo is installed, but does not work here: {reason}. The log has the details.</source>
      <translation>SR Geo установлен, но здесь не работает: {reason}. Подробности в журнале.</translation>
    </message>
    <message>
      <source>The folder of wheels is not enough: {reason}. Fill it with “pip wheel” on a machine of the same system and Python version, or leave the field empty to download.</source>
      <translation>В папке с пакетами не хватает нужного: {reason}. Дополните её командой «pip wheel» на компьютере с той же системой и той же версией Python или оставьте поле пустым, чтобы скачать пакеты.</translation>
    </message>
    <message>
      <source>pip cannot use a SOCKS proxy: write an HTTP proxy into the field Proxy, or choose uv under Made with.</source>
      <translation>pip не работает через прокси SOCKS: укажите в поле «Прокси» прокси HTTP или выберите uv в списке «Создать с помощью».</translation>
    </message>
    <message>
      <source>The proxy wants a name and a password: write them into the field Proxy, as http://user:password@host:port.</source>
      <translation>Прокси требует имя и пароль: укажите их в поле «Прокси» в виде http://user:password@host:port.</translation>
    </message>
    <message>
      <source>What stands between here and the packages (a proxy, a virus scanner) shows a certificate that is not trusted: have it added to the certificates of the system and choose uv under Made with, or choose a folder of wheels.</source>
      <translation>На пути к пакетам стоит посредник (прокси или антивирус) с сертификатом, которому здесь не доверяют: попросите добавить этот сертификат в хранилище системы и выберите uv в списке «Создать с помощью» или укажите папку с пакетами.</translation>
    </message>
    <message>
      <source>The proxy does not answer, or does not let the packages through: correct the field Proxy, empty it where none is needed, or choose a folder of wheels.</source>
      <translation>Прокси не отвечает или не пропускает пакеты: исправьте поле «Прокси», очистите его, если прокси не нужен, или выберите папку с пакетами.</translation>
    </message>
    <message>
      <source>Installing failed: {reason}. Check the connection and the proxy, or choose a folder of wheels.</source>
      <translation>Установка не удалась: {reason}. Проверьте соединение и прокси или выберите папку с пакетами.</translation>
    </message>
    <message>
      <source>{layer}: the layer cannot be read; repair its source or remove it.</source>
      <translation>{layer}: слой не читается; исправьте его источник или удалите слой.</translation>
    </message>
    <message>
      <source>{layer}: a map from a server holds colours, not measurements; download the imagery itself and add it as a file.</source>
      <translation>{layer}: карта с сервера содержит цвета, а не измерения; скачайте сам снимок и добавьте его файлом.</translation>
    </message>
    <message>
      <source>{layer}: its picture changes with time; export the moment that you need as a GeoTIFF and take that.</source>
      <translation>{layer}: изображение слоя меняется во времени; экспортируйте нужный момент в GeoTIFF и возьмите его.</translation>
    </message>
    <message>
      <source>{path}: the file is no longer there; put it back, or add the layer anew.</source>
      <translation>{path}: файла больше нет; верните его на место или добавьте слой заново.</translation>
    </message>
    <message>
      <source>{layer}: the source does not tell its pixel size; export the layer as a GeoTIFF and take that.</source>
      <translation>{layer}: источник не сообщает размер пикселя; экспортируйте слой в GeoTIFF и возьмите его.</translation>
    </message>
    <message>
      <source>{layer}: not a file that can be read directly, and too large to copy; choose a smaller extent or export it as a GeoTIFF.</source>
      <translation>{layer}: файл нельзя прочитать напрямую, а для копии он слишком велик; выберите меньший охват или экспортируйте слой в GeoTIFF.</translation>
    </message>
    <message>
      <source>{layer}: the extent lies outside the raster; choose another one.</source>
      <translation>{layer}: охват лежит вне растра; выберите другой.</translation>
    </message>
    <message>
      <source>{layer}: it cannot be copied to {folder}; is there room on the disk?</source>
      <translation>{layer}: не удаётся скопировать в {folder}; есть ли место на диске?</translation>
    </message>
    <message>
      <source>SR Geo: looking for the worker</source>
      <translation>SR Geo: поиск вычислительного модуля</translation>
    </message>
    <message>
      <source>There is no image: add a raster layer first.</source>
      <translation>Нет снимка: сначала добавьте растровый слой.</translation>
    </message>
    <message>
      <source>SR Geo: preview</source>
      <translation>SR Geo: предпросмотр</translation>
    </message>
    <message>
      <source>Enhancing the middle of the map…</source>
      <translation>Обрабатывается середина карты…</translation>
    </message>
    <message>
      <source>{layer} does not lie under the middle of the map; move the map over it.</source>
      <translation>{layer} не лежит под серединой карты; передвиньте карту на него.</translation>
    </message>
    <message>
      <source>The preview cannot be read; try once more.</source>
      <translation>Предпросмотр не читается; попробуйте ещё раз.</translation>
    </message>
    <message>
      <source>{columns} × {rows} pixels of the image, {seconds} s</source>
      <translation>{columns} × {rows} пикселей снимка, {seconds} с</translation>
    </message>
    <message>
      <source>Stopped; nothing was written.</source>
      <translation>Остановлено; ничего не записано.</translation>
    </message>
    <message>
      <source>SR Geo: enhancing {layer}</source>
      <translation>SR Geo: обработка слоя {layer}</translation>
    </message>
    <message>
      <source>Stopping…</source>
      <translation>Останавливается…</translation>
    </message>
    <message>
      <source>{path} is open as the layer {layer}: remove that layer, or choose another name.</source>
      <translation>{path} открыт как слой {layer}: удалите этот слой или выберите другое имя.</translation>
    </message>
    <message>
      <source>{path}: the result cannot be opened; is the disk still there?</source>
      <translation>{path}: результат не открывается; подключён ли ещё диск?</translation>
    </message>
    <message>
      <source>{layer}, added detail</source>
      <translation>{layer}, добавленные детали</translation>
    </message>
    <message>
      <source>{layer} added ({seconds} s).</source>
      <translation>{layer} добавлен ({seconds} с).</translation>
    </message>
    <message>
      <source>{layer} added on top ({seconds} s): the image is no longer in the project.</source>
      <translation>{layer} добавлен наверх ({seconds} с): снимка больше нет в проекте.</translation>
    </message>
    <message>
      <source>It has colours of its own: a band that the image shows is not in it.</source>
      <translation>Цвета у него свои: в нём нет канала, который показывает снимок.</translation>
    </message>
    <message>
      <source>Undo</source>
      <translation>Отменить</translation>
    </message>
    <message>
      <source>The layer was removed; the file stays: {path}</source>
      <translation>Слой удалён; файл остался: {path}</translation>
    </message>
    <message>
      <source>Save the table</source>
      <translation>Сохранить таблицу</translation>
    </message>
    <message>
      <source>CSV table (*.csv)</source>
      <translation>Таблица CSV (*.csv)</translation>
    </message>
    <message>
      <source>The field cannot be shown: it lies where the CRS of the map does not reach.</source>
      <translation>Поле нельзя показать: оно лежит вне области действия системы координат карты.</translation>
    </message>
    <message>
      <source>Set up…</source>
      <translation>Настройка…</translation>
    </message>
    <message>
      <source>The satellite image: a raster layer of the project.</source>
      <translation>Спутниковый снимок: растровый слой проекта.</translation>
    </message>
    <message>
      <source>Field outlines. Only the image within them is enhanced; without them, all of it.</source>
      <translation>Контуры полей. Обрабатывается только снимок внутри них; без контуров — весь снимок.</translation>
    </message>
    <message>
      <source>Selected fields only</source>
      <translation>Только выделенные поля</translation>
    </message>
    <message>
      <source>Automatic, by the bands</source>
      <translation>Автоматически, по каналам</translation>
    </message>
    <message>
      <source>The network. Your own regional models are listed too.</source>
      <translation>Нейросеть. Ваши региональные модели тоже в списке.</translation>
    </message>
    <message>
      <source>Image</source>
      <translation>Снимок</translation>
    </message>
    <message>
      <source>Fields</source>
      <translation>Поля</translation>
    </message>
    <message>
      <source>More options</source>
      <translation>Дополнительно</translation>
    </message>
    <message>
      <source>as the file says</source>
      <translation>как указано в файле</translation>
    </message>
    <message>
      <source>measured</source>
      <translation>измеряется</translation>
    </message>
    <message>
      <source>Blur of the sensor in pixels of the result. Change it only where the result looks too soft or has halos.</source>
      <translation>Размытие сенсора в пикселях результата. Меняйте, только если результат слишком мягкий или с ореолами.</translation>
    </message>
    <message>
      <source>Sensor blur</source>
      <translation>Размытие сенсора</translation>
    </message>
    <message>
      <source> m</source>
      <translation> м</translation>
    </message>
    <message>
      <source>Metres to grow every field; below zero, to shrink it. The statistics are of the fields themselves.</source>
      <translation>На сколько метров расширить каждое поле; меньше нуля — сузить. Статистика считается по самим полям.</translation>
    </message>
    <message>
      <source>Margin around fields</source>
      <translation>Полоса вокруг полей</translation>
    </message>
    <message>
      <source>Also the land between the fields</source>
      <translation>И земля между полями</translation>
    </message>
    <message>
      <source>Add a map of the added detail</source>
      <translation>Добавить карту добавленных деталей</translation>
    </message>
    <message>
      <source>Shows pixel by pixel how much was added beyond what the satellite measured.</source>
      <translation>Показывает по пикселям, сколько добавлено сверх измеренного спутником.</translation>
    </message>
    <message>
      <source>GeoTIFF (*.tif)</source>
      <translation>GeoTIFF (*.tif)</translation>
    </message>
    <message>
      <source>[temporary file]</source>
      <translation>[временный файл]</translation>
    </message>
    <message>
      <source>Save as</source>
      <translation>Сохранить как</translation>
    </message>
    <message>
      <source>Selected fields only ({number})</source>
      <translation>Только выделенные поля ({number})</translation>
    </message>
    <message>
      <source>{layer}: the raster has no place on the map; georeference it first.</source>
      <translation>{layer}: у растра нет места на карте; сначала привяжите его.</translation>
    </message>
    <message>
      <source>The piece for the preview cannot be written ({reason}).</source>
      <translation>Не удаётся записать фрагмент для предпросмотра ({reason}).</translation>
    </message>
    <message>
      <source>The worker ended without a result; repair it in Set up.</source>
      <translation>Вычислительный модуль закончил работу без результата; восстановите его в «Настройке».</translation>
    </message>
    <message>
      <source>Log</source>
      <translation>Журнал</translation>
    </message>
    <message>
      <source>Preview: before on the left, after on the right</source>
      <translation>Предпросмотр: до — слева, после — справа</translation>
    </message>
    <message>
      <source>before</source>
      <translation>до</translation>
    </message>
    <message>
      <source>after</source>
      <translation>после</translation>
    </message>
    <message>
      <source>{path}: the table of the fields cannot be read; run again.</source>
      <translation>{path}: таблица полей не читается; запустите снова.</translation>
    </message>
    <message>
      <source>{path} cannot be written ({reason}); close it where it is open, or choose another place.</source>
      <translation>{path}: нельзя записать ({reason}); закройте файл там, где он открыт, или выберите другое место.</translation>
    </message>
    <message>
      <source>Double-click a field to see it on the map.</source>
      <translation>Двойной щелчок показывает поле на карте.</translation>
    </message>
    <message>
      <source>Field</source>
      <translation>Поле</translation>
    </message>
    <message>
      <source>Area, ha</source>
      <translation>Площадь, га</translation>
    </message>
    <message>
      <source>NDVI before</source>
      <translation>NDVI до</translation>
    </message>
    <message>
      <source>NDVI after</source>
      <translation>NDVI после</translation>
    </message>
    <message>
      <source>NDVI variation before</source>
      <translation>Пестрота NDVI до</translation>
    </message>
    <message>
      <source>NDVI variation after</source>
      <translation>Пестрота NDVI после</translation>
    </message>
    <message>
      <source>Added detail</source>
      <translation>Добавленные детали</translation>
    </message>
    <message>
      <source>Covered, %</source>
      <translation>Покрыто снимком, %</translation>
    </message>
    <message>
      <source>Width, pixels of the input</source>
      <translation>Ширина, пикс. снимка</translation>
    </message>
    <message>
      <source>{band} before</source>
      <translation>{band} до</translation>
    </message>
    <message>
      <source>{band} after</source>
      <translation>{band} после</translation>
    </message>
    <message>
      <source>Coastal blue</source>
      <translation>Прибрежный синий</translation>
    </message>
    <message>
      <source>Blue</source>
      <translation>Синий</translation>
    </message>
    <message>
      <source>Green</source>
      <translation>Зелёный</translation>
    </message>
    <message>
      <source>Red</source>
      <translation>Красный</translation>
    </message>
    <message>
      <source>NIR</source>
      <translation>БИК (NIR)</translation>
    </message>
    <message>
      <source>NIR (narrow)</source>
      <translation>БИК (узкий)</translation>
    </message>
    <message>
      <source>Red edge 1</source>
      <translation>Красный край 1</translation>
    </message>
    <message>
      <source>Red edge 2</source>
      <translation>Красный край 2</translation>
    </message>
    <message>
      <source>Red edge 3</source>
      <translation>Красный край 3</translation>
    </message>
    <message>
      <source>Band {number}</source>
      <translation>Канал {number}</translation>
    </message>
    <message>
      <source>Unexpected: {reason}. Please report it with the log.</source>
      <translation>Неожиданная ошибка: {reason}. Сообщите о ней вместе с журналом.</translation>
    </message>
    <message>
      <source>SR Geo itself is not installed yet. Set up shows what it needs before anything is done.</source>
      <translation>Сам SR Geo ещё не установлен. «Настройка» сначала покажет, что нужно, и только потом что-либо сделает.</translation>
    </message>
    <message>
      <source>Preview</source>
      <translation>Предпросмотр</translation>
    </message>
    <message>
      <source>Drag to compare. The wheel zooms; drag with the right button to move.</source>
      <translation>Тяните границу, чтобы сравнить. Колесо меняет масштаб; правой кнопкой мыши снимок передвигается.</translation>
    </message>
    <message>
      <source>Preview the map centre</source>
      <translation>Предпросмотр середины карты</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Отмена</translation>
    </message>
    <message>
      <source>Results</source>
      <translation>Результаты</translation>
    </message>
    <message>
      <source>Remove this result from the project. A file that you named yourself stays on the disk.</source>
      <translation>Убрать этот результат из проекта. Файл, который вы назвали сами, остаётся на диске.</translation>
    </message>
    <message>
      <source>Compare on the map</source>
      <translation>Сравнить на карте</translation>
    </message>
    <message>
      <source>Drag the divider on the map: the image is on its left, the result on its right.</source>
      <translation>Тяните границу на карте: слева от неё снимок, справа результат.</translation>
    </message>
    <message>
      <source>Save the table…</source>
      <translation>Сохранить таблицу…</translation>
    </message>
    <message>
      <source>Move the map to a place that you know, then press “Preview the map centre”.</source>
      <translation>Передвиньте карту на знакомое вам место и нажмите «Предпросмотр середины карты».</translation>
    </message>
    <message>
      <source>Starting…</source>
      <translation>Запускается…</translation>
    </message>
    <message>
      <source>SR Geo panel</source>
      <translation>Панель SR Geo</translation>
    </message>
    <message>
      <source>SR Geo</source>
      <translation>SR Geo</translation>
    </message>
    <message>
      <source>{layer}: these are no polygons; choose the layer with the outlines of the fields.</source>
      <translation>{layer}: это не полигоны; выберите слой с контурами полей.</translation>
    </message>
    <message>
      <source>{layer}: the parcels have no CRS; set it with a right click, Layer CRS, and run again.</source>
      <translation>{layer}: у контуров полей нет системы координат; задайте её правой кнопкой мыши («Система координат слоя») и запустите снова.</translation>
    </message>
    <message>
      <source>{layer}: the parcels cannot be copied to {folder} ({reason}).</source>
      <translation>{layer}: не удаётся скопировать контуры полей в {folder} ({reason}).</translation>
    </message>
    <message>
      <source>{layer}: no parcels lie within the extent; choose another one.</source>
      <translation>{layer}: в этом охвате нет полей; выберите другой.</translation>
    </message>
    <message>
      <source>{layer}: no parcels to work on; select some, or switch off “selected features only”.</source>
      <translation>{layer}: нет полей для работы; выделите какие-нибудь или снимите флажок «Только выделенные объекты».</translation>
    </message>
    <message>
      <source>{layer}: the layer has no parcels; draw some in it, or choose another layer.</source>
      <translation>{layer}: в слое нет полей; нарисуйте их в нём или выберите другой слой.</translation>
    </message>
    <message>
      <source>{layer}: the image lies where the CRS of the parcels ({crs}) does not reach; check the CRS of both layers.</source>
      <translation>{layer}: снимок лежит вне области действия системы координат полей ({crs}); проверьте систему координат обоих слоёв.</translation>
    </message>
    <message>
      <source>The extent is empty; draw or choose another one.</source>
      <translation>Охват пуст; нарисуйте или выберите другой.</translation>
    </message>
    <message>
      <source>The extent cannot be written to {folder}; is there room on the disk?</source>
      <translation>Не удаётся записать охват в {folder}; есть ли место на диске?</translation>
    </message>
    <message>
      <source>{python} has no SR Geo any more: open SR Geo, Set up… in the menu Raster, and repair it or choose another Python.</source>
      <translation>В {python} больше нет SR Geo: откройте в меню «Растр» SR Geo, Настройка… и восстановите его или выберите другой Python.</translation>
    </message>
    <message>
      <source>SR Geo itself is not installed yet: open SR Geo, Set up… in the menu Raster. It takes a few minutes, once.</source>
      <translation>Сам SR Geo ещё не установлен: откройте в меню «Растр» SR Geo, Настройка… Это займёт несколько минут, один раз.</translation>
    </message>
    <message>
      <source>SR Geo: Set up</source>
      <translation>SR Geo: настройка</translation>
    </message>
    <message>
      <source>Install</source>
      <translation>Установить</translation>
    </message>
    <message>
      <source>Use an existing Python</source>
      <translation>Использовать имеющийся Python</translation>
    </message>
    <message>
      <source>Check</source>
      <translation>Проверка</translation>
    </message>
    <message>
      <source>What happens is written here.</source>
      <translation>Здесь записывается, что происходит.</translation>
    </message>
    <message>
      <source>Close</source>
      <translation>Закрыть</translation>
    </message>
    <message>
      <source>SR Geo does not run inside QGIS, whose libraries would clash with its own: it gets a Python environment in a folder of yours, outside QGIS and your profile. QGIS itself is not changed.</source>
      <translation>SR Geo работает не внутри QGIS: его библиотеки помешали бы библиотекам QGIS. Он получает собственное окружение Python в вашей папке, вне QGIS и вашего профиля. Сам QGIS не меняется.</translation>
    </message>
    <message>
      <source>for an NVIDIA graphics card</source>
      <translation>для видеокарты NVIDIA</translation>
    </message>
    <message>
      <source>There is no ONNX Runtime for NVIDIA graphics cards on this system.</source>
      <translation>Для этой системы нет ONNX Runtime с поддержкой видеокарт NVIDIA.</translation>
    </message>
    <message>
      <source>with training of regional models</source>
      <translation>с обучением региональных моделей</translation>
    </message>
    <message>
      <source>For machines without internet: made by “pip wheel” on another machine of the same system and Python version.</source>
      <translation>Для компьютеров без интернета: пакеты, собранные командой «pip wheel» на другом компьютере с той же системой и версией Python.</translation>
    </message>
    <message>
      <source>Remove</source>
      <translation>Удалить</translation>
    </message>
    <message>
      <source>Made with</source>
      <translation>Создать с помощью</translation>
    </message>
    <message>
      <source>Folder of wheels</source>
      <translation>Папка с пакетами (wheel)</translation>
    </message>
    <message>
      <source>Proxy</source>
      <translation>Прокси</translation>
    </message>
    <message>
      <source>What will be done</source>
      <translation>Что будет сделано</translation>
    </message>
    <message>
      <source>A Python, or the folder of a virtual environment, in which SR Geo is installed. Left empty, the one made by Install is used.</source>
      <translation>Python или папка виртуального окружения, где установлен SR Geo. Если пусто, используется созданное кнопкой «Установить».</translation>
    </message>
    <message>
      <source>Use it</source>
      <translation>Использовать</translation>
    </message>
    <message>
      <source>Part</source>
      <translation>Часть</translation>
    </message>
    <message>
      <source>State</source>
      <translation>Состояние</translation>
    </message>
    <message>
      <source>Details, and what to do</source>
      <translation>Подробности и что сделать</translation>
    </message>
    <message>
      <source>Check now</source>
      <translation>Проверить сейчас</translation>
    </message>
    <message>
      <source>Show the log of the installation</source>
      <translation>Показать журнал установки</translation>
    </message>
    <message>
      <source>Looking for what is installed…</source>
      <translation>Поиск того, что установлено…</translation>
    </message>
    <message>
      <source>SR Geo: looking for Python</source>
      <translation>SR Geo: поиск Python</translation>
    </message>
    <message>
      <source>SR Geo itself is not installed yet: press Install below. It takes a few minutes, once.</source>
      <translation>Сам SR Geo ещё не установлен: нажмите ниже «Установить». Это займёт несколько минут, один раз.</translation>
    </message>
    <message>
      <source>{python} has no SR Geo any more: install it there again, choose another Python, or press Install below.</source>
      <translation>В {python} больше нет SR Geo: установите его туда снова, выберите другой Python или нажмите ниже «Установить».</translation>
    </message>
    <message>
      <source>SR Geo {version} is ready: {python}</source>
      <translation>SR Geo {version} готов: {python}</translation>
    </message>
    <message>
      <source>SR Geo {version} works, but this plugin comes with {newer}: press Repair to renew it.</source>
      <translation>SR Geo {version} работает, но с этим модулем поставляется {newer}: нажмите «Восстановить», чтобы обновить.</translation>
    </message>
    <message>
      <source>Repair</source>
      <translation>Восстановить</translation>
    </message>
    <message>
      <source>another one…</source>
      <translation>другой…</translation>
    </message>
    <message>
      <source>No Python 3.10 or later was found. Install one from python.org, or uv, and open this page again; or choose another one above.</source>
      <translation>Python 3.10 или новее не найден. Установите его с python.org или установите uv и откройте эту страницу снова; или выберите другой выше.</translation>
    </message>
    <message>
      <source>{download} MB are downloaded and {disk} MB used in {folder}:</source>
      <translation>Будет скачано {download} МБ и занято {disk} МБ в {folder}:</translation>
    </message>
    <message>
      <source>{disk} MB are used in {folder}:</source>
      <translation>Будет занято {disk} МБ в {folder}:</translation>
    </message>
    <message>
      <source>No driver of an NVIDIA graphics card was found on this machine. Everything works all the same, but runs stay on the processor until a driver is installed.</source>
      <translation>На этом компьютере не найден драйвер видеокарты NVIDIA. Работать всё будет и так, но обработка останется на процессоре, пока драйвер не установлен.</translation>
    </message>
    <message>
      <source>Python 3.10 or later, or uv</source>
      <translation>Python 3.10 или новее, или uv</translation>
    </message>
    <message>
      <source>{file} is no Python 3.10 or later that can make environments, and not uv.</source>
      <translation>{file} — не Python 3.10 или новее, способный создавать окружения, и не uv.</translation>
    </message>
    <message>
      <source>SR Geo: installing</source>
      <translation>SR Geo: установка</translation>
    </message>
    <message>
      <source>Remove the environment in {folder}? Your own models and results stay.</source>
      <translation>Удалить окружение в {folder}? Ваши модели и результаты останутся.</translation>
    </message>
    <message>
      <source>SR Geo: removing</source>
      <translation>SR Geo: удаление</translation>
    </message>
    <message>
      <source>{path}: no Python with SR Geo; install it there with pip, or choose another one.</source>
      <translation>{path}: здесь нет Python с SR Geo; установите его туда с помощью pip или выберите другой.</translation>
    </message>
    <message>
      <source>SR Geo: checking</source>
      <translation>SR Geo: проверка</translation>
    </message>
    <message>
      <source>Cancelling…</source>
      <translation>Отменяется…</translation>
    </message>
    <message>
      <source>Cancelled.</source>
      <translation>Отменено.</translation>
    </message>
    <message>
      <source>{program} cannot be started ({reason}): repair it in Set up.</source>
      <translation>Не удаётся запустить {program} ({reason}): восстановите его в «Настройке».</translation>
    </message>
    <message>
      <source>The worker was stopped by another program; run it again.</source>
      <translation>Вычислительный модуль остановлен другой программой; запустите снова.</translation>
    </message>
    <message>
      <source>The worker was killed, most likely because memory ran out: close other programs, or set a smaller tile (“Advanced parameters” in the toolbox), and run it again.</source>
      <translation>Вычислительный модуль был прерван, скорее всего не хватило памяти: закройте другие программы или задайте меньший тайл («Дополнительные параметры» в панели инструментов анализа) и запустите снова.</translation>
    </message>
    <message>
      <source>The worker crashed (code {code}); run it again, and repair it in Set up if that does not help.</source>
      <translation>Сбой вычислительного модуля (код {code}); запустите снова, а если не поможет, восстановите его в «Настройке».</translation>
    </message>
    <message>
      <source>{reason}: a package of the worker is gone; open SR Geo, Set up…, and repair it.</source>
      <translation>{reason}: пакет вычислительного модуля пропал; откройте SR Geo, Настройка… и восстановите его.</translation>
    </message>
    <message>
      <source>The worker ended with code {code} and said nothing; see Check in Set up.</source>
      <translation>Вычислительный модуль закончил с кодом {code} и ничего не сообщил; см. «Проверка» в «Настройке».</translation>
    </message>
    <message>
      <source>{reason} (in QGIS: “More options” in the panel, “Advanced parameters” in the toolbox)</source>
      <translation>{reason} (в QGIS: «Дополнительно» на панели, «Дополнительные параметры» в панели инструментов анализа)</translation>
    </message>
    <message>
      <source>Enhancing: tile {done} of {total}</source>
      <translation>Обработка: тайл {done} из {total}</translation>
    </message>
    <message>
      <source>Measuring parcels: {done} of {total}</source>
      <translation>Измерение полей: {done} из {total}</translation>
    </message>
    <message>
      <source>Checking: {done} of {total}</source>
      <translation>Проверка: {done} из {total}</translation>
    </message>
    <message>
      <source>Writing: {done} of {total}</source>
      <translation>Запись: {done} из {total}</translation>
    </message>
    <message>
      <source>Training: step {done} of {total}</source>
      <translation>Обучение: шаг {done} из {total}</translation>
    </message>
    <message>
      <source>{text}, about {time} left</source>
      <translation>{text}, осталось около {time}</translation>
    </message>
  </context>
</TS>
