<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="kk_KZ" sourcelanguage="en">
  <context>
    <name>SRGeo</name>
    <message>
      <source>Check models</source>
      <translation>Модельдерді тексеру</translation>
    </message>
    <message>
      <source>diagnosis</source>
      <translation>диагностика жасау</translation>
    </message>
    <message>
      <source>models</source>
      <translation>модельдер</translation>
    </message>
    <message>
      <source>installation</source>
      <translation>орнату</translation>
    </message>
    <message>
      <source>Opens every model, checks that its file is whole, and says what each was made for and where it must not be believed. Then looks over the installation: packages, drivers, graphics card. Nothing is changed, nothing is fetched.</source>
      <translation>Әр модельді ашып, файлының бүтіндігін тексереді және оның не үшін жасалғанын, қай жерде сенуге болмайтынын айтады. Содан кейін орнатылымды қарайды: пакеттер, драйверлер, бейнекарта. Ештеңе өзгертілмейді және жүктеп алынбайды.</translation>
    </message>
    <message>
      <source>Models and installation</source>
      <translation>Модельдер және орнатылым</translation>
    </message>
    <message>
      <source>Web page (*.html)</source>
      <translation>Веб-бет (*.html)</translation>
    </message>
    <message>
      <source>Models that can be used</source>
      <translation>Жарамды модельдер</translation>
    </message>
    <message>
      <source>Faults found</source>
      <translation>Табылған ақаулар</translation>
    </message>
    <message>
      <source>whole and usable</source>
      <translation>бүтін әрі жарамды</translation>
    </message>
    <message>
      <source>model</source>
      <translation>модель</translation>
    </message>
    <message>
      <source>bands</source>
      <translation>арналар</translation>
    </message>
    <message>
      <source>for</source>
      <translation>мақсаты</translation>
    </message>
    <message>
      <source>limits</source>
      <translation>шектеулері</translation>
    </message>
    <message>
      <source>state</source>
      <translation>күйі</translation>
    </message>
    <message>
      <source>part</source>
      <translation>бөлігі</translation>
    </message>
    <message>
      <source>details</source>
      <translation>толығырақ</translation>
    </message>
    <message>
      <source>remedy</source>
      <translation>не істеу керек</translation>
    </message>
    <message>
      <source>SR Geo: models and installation</source>
      <translation>SR Geo: модельдер және орнатылым</translation>
    </message>
    <message>
      <source>Models</source>
      <translation>Модельдер</translation>
    </message>
    <message>
      <source>Installation</source>
      <translation>Орнатылым</translation>
    </message>
    <message>
      <source>{path}: the page cannot be written ({reason}); choose another folder.</source>
      <translation>{path}: бетті жазу мүмкін емес ({reason}); басқа қалтаны таңдаңыз.</translation>
    </message>
    <message>
      <source>not installed; only Train regional model needs it</source>
      <translation>орнатылмаған; тек «Аймақтық модельді оқыту» үшін керек</translation>
    </message>
    <message>
      <source>SR Geo, Set up…, Install: tick “with training of regional models” and press Repair</source>
      <translation>SR Geo, Баптау…, «Орнату»: «аймақтық модельдерді оқытумен» дегенді белгілеп, «Қалпына келтіру» түймесін басыңыз</translation>
    </message>
    <message>
      <source>works</source>
      <translation>жұмыс істейді</translation>
    </message>
    <message>
      <source>look at it</source>
      <translation>назар аударыңыз</translation>
    </message>
    <message>
      <source>missing</source>
      <translation>жоқ</translation>
    </message>
    <message>
      <source>Enhance field parcels</source>
      <translation>Танаптардағы ажыратымдылықты арттыру</translation>
    </message>
    <message>
      <source>super-resolution</source>
      <translation>асқын ажыратымдылық</translation>
    </message>
    <message>
      <source>fields</source>
      <translation>танаптар</translation>
    </message>
    <message>
      <source>agriculture</source>
      <translation>ауыл шаруашылығы</translation>
    </message>
    <message>
      <source>crops</source>
      <translation>егістер</translation>
    </message>
    <message>
      <source>Makes a satellite raster four times finer where there are field parcels; the rest is not computed. Parcels may be in any CRS. Invalid outlines are repaired, and what lies outside the raster is left out with a warning.

Means over a parcel stay what the satellite measured. Texture inside a field finer than about half an input pixel is a likely guess: never count rows in it.</source>
      <translation>Спутниктік растрды танаптар бар жерде төрт есе айқынырақ етеді; қалғаны есептелмейді. Танап контурлары кез келген координаттар жүйесінде бола алады. Қате контурлар түзетіледі, ал растрдан тыс жатқандары ескертумен қалдырылады.

Танап бойынша орташа мәндер спутник өлшеген қалпында қалады. Танап ішіндегі бастапқы пиксельдің шамамен жартысынан ұсақ өрнек — тек ықтимал болжам: ол бойынша қатарларды санамаңыз.</translation>
    </message>
    <message>
      <source>only the parcels, nodata around them</source>
      <translation>тек танаптар, айналасында дерек жоқ</translation>
    </message>
    <message>
      <source>all within the rectangle about them</source>
      <translation>оларды қоршайтын тіктөртбұрыштың бәрі</translation>
    </message>
    <message>
      <source>Enhance</source>
      <translation>Ажыратымдылықты арттыру</translation>
    </message>
    <message>
      <source>A file for each parcel, named by the column</source>
      <translation>Әр танапқа бөлек файл, атауы мына бағаннан</translation>
    </message>
    <message>
      <source>Instead of one raster. Parcels of the same value come into one file. The folder of the files stands below.</source>
      <translation>Бір растрдың орнына. Мәні бірдей танаптар бір файлға түседі. Файлдар қалтасы төменде көрсетіледі.</translation>
    </message>
    <message>
      <source>Folder of the files for each parcel</source>
      <translation>Танап файлдары салынатын қалта</translation>
    </message>
    <message>
      <source>Number of rasters written</source>
      <translation>Жазылған растрлар саны</translation>
    </message>
    <message>
      <source>A file for each parcel is wanted: choose the folder of the files, too.</source>
      <translation>Әр танапқа бөлек файл керек: файлдар қалтасын да таңдаңыз.</translation>
    </message>
    <message>
      <source>A folder of files is wanted: choose the column that names them, too.</source>
      <translation>Бөлек файлдар қалтасы керек: оларды атайтын бағанды да таңдаңыз.</translation>
    </message>
    <message>
      <source>A file for each parcel holds that parcel only: choose “only the parcels”.</source>
      <translation>Бөлек файлда танаптың өзі ғана болады: «тек танаптар, айналасында дерек жоқ» дегенді таңдаңыз.</translation>
    </message>
    <message>
      <source>Choose where the enhanced raster is to be written, or a column and a folder for a file of each parcel.</source>
      <translation>Растрды қайда жазу керегін, не танаптардың бөлек файлдары үшін баған мен қалтаны таңдаңыз.</translation>
    </message>
    <message>
      <source>{path}: the folder cannot be made ({reason}); choose another one.</source>
      <translation>{path}: қалтаны жасау мүмкін емес ({reason}); басқасын таңдаңыз.</translation>
    </message>
    <message>
      <source>Enhance raster</source>
      <translation>Растрдың ажыратымдылығын арттыру</translation>
    </message>
    <message>
      <source>sharpen</source>
      <translation>айқындау</translation>
    </message>
    <message>
      <source>upscale</source>
      <translation>ұлғайту</translation>
    </message>
    <message>
      <source>Makes a satellite raster four times finer along each axis. The result covers the same ground and keeps CRS, data type, units, nodata and band names; seen through the sensor again it gives the input back.

The model was trained on farmland. Detail finer than about half an input pixel is a likely guess, not a measurement: ask for the map of added detail to see where.</source>
      <translation>Спутниктік растрды әр ось бойынша төрт есе айқынырақ етеді. Нәтиже сол жерді қамтиды және координаттар жүйесін, дерек түрін, бірліктерді, «дерек жоқ» мәнін және арна атауларын сақтайды; оған сол сенсормен қайта «қараса», бастапқы растр шығады.

Модель ауыл шаруашылығы жерлерінде оқытылған. Бастапқы пиксельдің шамамен жартысынан ұсақ бөлшектер — өлшем емес, ықтимал болжам: олардың қай жерде екенін қосылған бөлшектер картасы көрсетеді.</translation>
    </message>
    <message>
      <source>Raster to enhance</source>
      <translation>Бастапқы растр</translation>
    </message>
    <message>
      <source>Field parcels</source>
      <translation>Танап контурлары</translation>
    </message>
    <message>
      <source>Metres to grow every parcel</source>
      <translation>Әр танапты қанша метрге кеңейту керек</translation>
    </message>
    <message>
      <source>On the ground, whatever the CRS. Below 0 the parcels shrink, which leaves out their edges.</source>
      <translation>Жер бетінде, кез келген координаттар жүйесінде. 0-ден кем болса, танаптар тарылады, сонда шеттері есепке алынбайды.</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>Модель</translation>
    </message>
    <message>
      <source>auto takes the shipped model that uses most bands of the raster.</source>
      <translation>«auto» растрдың ең көп арнасын пайдаланатын жеткізілген модельді алады.</translation>
    </message>
    <message>
      <source>Model from a file instead</source>
      <translation>Оның орнына файлдағы модель</translation>
    </message>
    <message>
      <source>Blue band</source>
      <translation>Көк арна</translation>
    </message>
    <message>
      <source>Green band</source>
      <translation>Жасыл арна</translation>
    </message>
    <message>
      <source>Red band</source>
      <translation>Қызыл арна</translation>
    </message>
    <message>
      <source>Near infrared band</source>
      <translation>Жақын инфрақызыл арна</translation>
    </message>
    <message>
      <source>Only where the file does not say which band is which: then name all of them.</source>
      <translation>Тек файлда қай арнаның қайсы екені көрсетілмесе ғана: ондайда бәрін атаңыз.</translation>
    </message>
    <message>
      <source>take over detail of the others</source>
      <translation>бөлшектерді басқаларынан алу</translation>
    </message>
    <message>
      <source>interpolate</source>
      <translation>интерполяциялау</translation>
    </message>
    <message>
      <source>leave out</source>
      <translation>қоспау</translation>
    </message>
    <message>
      <source>Bands that the model does not know</source>
      <translation>Модель білмейтін арналар</translation>
    </message>
    <message>
      <source>through the sensor's blur</source>
      <translation>сенсордың бұлыңғырлығы арқылы</translation>
    </message>
    <message>
      <source>by plain 4 × 4 means</source>
      <translation>қарапайым 4 × 4 орташа мәндері бойынша</translation>
    </message>
    <message>
      <source>not at all</source>
      <translation>байланыстырмау</translation>
    </message>
    <message>
      <source>Tie the result to the measured values</source>
      <translation>Нәтижені өлшенген мәндерге байланыстыру</translation>
    </message>
    <message>
      <source>Blur of the sensor, in pixels of the result</source>
      <translation>Сенсордың бұлыңғырлығы, нәтиже пиксельдерімен</translation>
    </message>
    <message>
      <source>Usually 1 to 3.2. Left empty, it is measured on the edges in the scene, band by band.</source>
      <translation>Әдетте 1-ден 3,2-ге дейін. Берілмесе, түсірілімдегі шекаралар бойынша әр арнаға жеке өлшенеді.</translation>
    </message>
    <message>
      <source>automatic</source>
      <translation>автоматты түрде</translation>
    </message>
    <message>
      <source>processor</source>
      <translation>процессорда</translation>
    </message>
    <message>
      <source>NVIDIA graphics card</source>
      <translation>NVIDIA бейнекартасы</translation>
    </message>
    <message>
      <source>Compute on</source>
      <translation>Неде есептеу керек</translation>
    </message>
    <message>
      <source>Processor threads</source>
      <translation>Процессор ағындары</translation>
    </message>
    <message>
      <source>Left empty: all processors.</source>
      <translation>Берілмесе — барлық процессорлар.</translation>
    </message>
    <message>
      <source>Side of a tile, in pixels of the raster</source>
      <translation>Тайл қабырғасы, растр пиксельдерімен</translation>
    </message>
    <message>
      <source>A smaller one needs less memory; the result is the same.</source>
      <translation>Кішісіне жад аз керек; нәтижесі бірдей.</translation>
    </message>
    <message>
      <source>Write a Cloud Optimized GeoTIFF</source>
      <translation>Cloud Optimized GeoTIFF түрінде жазу</translation>
    </message>
    <message>
      <source>Extent</source>
      <translation>Қамту аумағы</translation>
    </message>
    <message>
      <source>Left empty: all of the raster, or all parcels.</source>
      <translation>Берілмесе — бүкіл растр немесе барлық танаптар.</translation>
    </message>
    <message>
      <source>Enhanced raster</source>
      <translation>Ажыратымдылығы арттырылған растр</translation>
    </message>
    <message>
      <source>Map of added detail</source>
      <translation>Қосылған бөлшектер картасы</translation>
    </message>
    <message>
      <source>Per pixel, how much was added beyond what the sensor measured.</source>
      <translation>Әр пиксель үшін — сенсор өлшегеннен тыс қанша қосылғаны.</translation>
    </message>
    <message>
      <source>Area, mean of each band and NDVI before and after, and added detail, with the outlines of the parcels.</source>
      <translation>Ауданы, әр арнаның орташа мәні мен NDVI — дейін және кейін, қосылған бөлшектер — танап контурларымен бірге.</translation>
    </message>
    <message>
      <source>Parcel statistics</source>
      <translation>Танаптар статистикасы</translation>
    </message>
    <message>
      <source>Report</source>
      <translation>Есеп</translation>
    </message>
    <message>
      <source>Before and after with a slider, spectra, and a table of the parcels.</source>
      <translation>Жылжытқышпен «дейін» және «кейін», спектрлер және танаптар кестесі.</translation>
    </message>
    <message>
      <source>{layer} ×4</source>
      <translation>{layer} ×4</translation>
    </message>
    <message>
      <source>Parcel report</source>
      <translation>Танаптар бойынша есеп</translation>
    </message>
    <message>
      <source>zonal statistics</source>
      <translation>аймақтық статистика</translation>
    </message>
    <message>
      <source>Enhances the field parcels on a satellite raster and writes what came out of it: a page with pictures before and after, spectra and a table of the parcels, and the table as a layer. Area, mean of each band and NDVI are given before and after, so that one sees what the enhancement changed.

The enhanced raster itself is not kept: use Enhance field parcels for that.</source>
      <translation>Спутниктік растрдың танаптардағы ажыратымдылығын арттырып, нәтижесін жазады: дейінгі және кейінгі суреттері, спектрлері мен танаптар кестесі бар бет, әрі сол кесте қабат түрінде. Ауданы, арналардың орташа мәні және NDVI дейін де, кейін де беріледі, сонда өңдеудің нені өзгерткені көрінеді.

Ажыратымдылығы арттырылған растрдың өзі сақталмайды: ол үшін «Танаптардағы ажыратымдылықты арттыру» бар.</translation>
    </message>
    <message>
      <source>Number of parcels</source>
      <translation>Танаптар саны</translation>
    </message>
    <message>
      <source>Quality report</source>
      <translation>Сапа туралы есеп</translation>
    </message>
    <message>
      <source>accuracy</source>
      <translation>дәлдік</translation>
    </message>
    <message>
      <source>compare</source>
      <translation>салыстыру</translation>
    </message>
    <message>
      <source>Compares an enhanced raster with a reference of the same grid, band by band: PSNR, SSIM, errors, bias, spectral angle and ERGAS. With the raster that was enhanced it also tells whether the result, seen through the sensor again, gives that raster back, and how plain interpolation would have done.

Pixels without data in either raster are left out.</source>
      <translation>Ажыратымдылығы арттырылған растрды сол тордағы эталонмен арна-арнасымен салыстырады: PSNR, SSIM, қателер, жүйелі ауытқу, спектрлік бұрыш және ERGAS. Бастапқы растр берілсе, нәтижеге сенсормен қайта «қарағанда» сол растр шыға ма және қарапайым интерполяция не берер еді — соны да көрсетеді.

Растрлардың кез келгенінде дерегі жоқ пиксельдер есепке алынбайды.</translation>
    </message>
    <message>
      <source>Reference (the truth)</source>
      <translation>Эталон (шынайы сурет)</translation>
    </message>
    <message>
      <source>Raster that was enhanced</source>
      <translation>Бастапқы растр</translation>
    </message>
    <message>
      <source>Optional: adds consistency, and what interpolation alone would reach.</source>
      <translation>Міндетті емес: үйлесімділікті және тек интерполяция не берер еді — соны қосады.</translation>
    </message>
    <message>
      <source>Pixels to leave out on every side</source>
      <translation>Әр жағынан қанша пиксельді есепке алмау керек</translation>
    </message>
    <message>
      <source>Figures</source>
      <translation>Көрсеткіштер</translation>
    </message>
    <message>
      <source>All figures, for programs.</source>
      <translation>Барлық көрсеткіштер, бағдарламалар үшін.</translation>
    </message>
    <message>
      <source>PSNR of all bands, dB</source>
      <translation>Барлық арналардың PSNR мәні, дБ</translation>
    </message>
    <message>
      <source>SSIM of all bands</source>
      <translation>Барлық арналардың SSIM мәні</translation>
    </message>
    <message>
      <source>Quality of {layer}</source>
      <translation>Сапасы: {layer}</translation>
    </message>
    <message>
      <source>Reference: {path}</source>
      <translation>Эталоны: {path}</translation>
    </message>
    <message>
      <source>PSNR, dB</source>
      <translation>PSNR, дБ</translation>
    </message>
    <message>
      <source>mean error</source>
      <translation>орташа қате</translation>
    </message>
    <message>
      <source>bias</source>
      <translation>жүйелі ауытқу</translation>
    </message>
    <message>
      <source>all bands</source>
      <translation>барлық арналар</translation>
    </message>
    <message>
      <source>Against the reference</source>
      <translation>Эталонмен салыстырғанда</translation>
    </message>
    <message>
      <source>Interpolation alone</source>
      <translation>Тек интерполяция</translation>
    </message>
    <message>
      <source>spectral angle, °</source>
      <translation>спектрлік бұрыш, °</translation>
    </message>
    <message>
      <source>valid in both, %</source>
      <translation>екеуінде де дерек бар, %</translation>
    </message>
    <message>
      <source>seen through the sensor again, mean difference</source>
      <translation>сенсормен қайта «қарағандағы» орташа айырма</translation>
    </message>
    <message>
      <source>invented detail, share</source>
      <translation>ойдан шығарылған бөлшектер үлесі</translation>
    </message>
    <message>
      <source>missed detail, share</source>
      <translation>жіберіп алынған бөлшектер үлесі</translation>
    </message>
    <message>
      <source>true detail, share</source>
      <translation>дұрыс бөлшектер үлесі</translation>
    </message>
    <message>
      <source>Altogether</source>
      <translation>Жалпы алғанда</translation>
    </message>
    <message>
      <source>Train regional model</source>
      <translation>Аймақтық модельді оқыту</translation>
    </message>
    <message>
      <source>machine learning</source>
      <translation>машиналық оқыту</translation>
    </message>
    <message>
      <source>fine-tuning</source>
      <translation>қосымша оқыту</translation>
    </message>
    <message>
      <source>region</source>
      <translation>аймақ</translation>
    </message>
    <message>
      <source>Goes on training a shipped model with your own rasters, and adds the new one to the list of models. A strip of the rasters is held out, on which the gain is measured.

It pays with some ten million pixels of one region, and takes hours without a graphics card: minutes are enough to try the steps only. The part “training” must be installed (SR Geo, Set up…). Fill in the licences in the recipe before you give the model to anybody.</source>
      <translation>Жеткізілген модельді өз растрларыңызбен әрі қарай оқытып, жаңасын модельдер тізіміне қосады. Растрлардың бір жолағы бөлек қалдырылып, ұтыс сонда өлшенеді.

Бір аймақтың шамамен он миллион пикселінен бастап мәні бар және бейнекартасыз сағаттап жүреді: бірнеше минутта тек қадамдардың өзін байқап көруге болады. «Оқыту» бөлігі орнатылған болуы керек (SR Geo, Баптау…). Модельді біреуге бермес бұрын рецептке лицензияларды жазыңыз.</translation>
    </message>
    <message>
      <source>Folder with your rasters</source>
      <translation>Растрларыңыз жатқан қалта</translation>
    </message>
    <message>
      <source>GeoTIFFs, Sentinel-2 and Landsat folders; it is searched to the bottom and not changed.</source>
      <translation>GeoTIFF файлдары, Sentinel-2 және Landsat қалталары; ішіндегі барлық қалталарымен қаралады және өзгертілмейді.</translation>
    </message>
    <message>
      <source>Minutes to train</source>
      <translation>Қанша минут оқыту керек</translation>
    </message>
    <message>
      <source>Which band is which</source>
      <translation>Қай арна қайсы</translation>
    </message>
    <message>
      <source>Only where the files do not say: r=3,g=2,b=1,nir=4 (numbers from 1).</source>
      <translation>Тек файлдарда көрсетілмесе: r=3,g=2,b=1,nir=4 (нөмірлер 1-ден басталады).</translation>
    </message>
    <message>
      <source>Changes of the recipe, one a line</source>
      <translation>Рецепт өзгерістері, әр жолға біреуден</translation>
    </message>
    <message>
      <source>Keys and values, for instance loop.iterations=2000.</source>
      <translation>Кілттер мен мәндер, мысалы loop.iterations=2000.</translation>
    </message>
    <message>
      <source>Add it to the list of models</source>
      <translation>Модельдер тізіміне қосу</translation>
    </message>
    <message>
      <source>Folder of the run</source>
      <translation>Оқыту қалтасы</translation>
    </message>
    <message>
      <source>Trained model</source>
      <translation>Оқытылған модель</translation>
    </message>
    <message>
      <source>Name of the model</source>
      <translation>Модель атауы</translation>
    </message>
    <message>
      <source>The part “training” is not installed: open SR Geo, Set up…, tick it and repair.</source>
      <translation>«Оқыту» бөлігі орнатылмаған: SR Geo, Баптау… бетін ашып, оны белгілеңіз де «Қалпына келтіру» түймесін басыңыз.</translation>
    </message>
    <message>
      <source>The plugin is not whole: its folder wheels is empty. Install the plugin again.</source>
      <translation>Модуль толық емес: оның wheels қалтасы бос. Модульді қайта орнатыңыз.</translation>
    </message>
    <message>
      <source>{folder}: cannot be written ({reason}); set the variable SR_GEO_QGIS_DATA to another folder.</source>
      <translation>{folder}: жазу мүмкін емес ({reason}); SR_GEO_QGIS_DATA айнымалысында басқа қалтаны көрсетіңіз.</translation>
    </message>
    <message>
      <source>There are {free} MB free in {folder}, {needed} MB are needed: make room first.</source>
      <translation>{folder} ішінде {free} МБ бос орын бар, {needed} МБ керек: алдымен орын босатыңыз.</translation>
    </message>
    <message>
      <source>Done.</source>
      <translation>Дайын.</translation>
    </message>
    <message>
      <source>Making the environment…</source>
      <translation>Орта жасалуда…</translation>
    </message>
    <message>
      <source>Downloading and installing the packages; this takes some minutes…</source>
      <translation>Пакеттер жүктеліп, орнатылуда; бұл бірнеше минут алады…</translation>
    </message>
    <message>
      <source>Installing the part for NVIDIA graphics cards…</source>
      <translation>NVIDIA бейнекарталарына арналған бөлік орнатылуда…</translation>
    </message>
    <message>
      <source>Checking…</source>
      <translation>Тексерілуде…</translation>
    </message>
    <message>
      <source>code {code}</source>
      <translation>{code} коды</translation>
    </message>
    <message>
      <source>The environment cannot be made with {python}: {reason}. Choose another Python.</source>
      <translation>{python} көмегімен ортаны жасау мүмкін емес: {reason}. Басқа Python таңдаңыз.</translation>
    </message>
    <message>
      <source>SR Geo is installed, but does not work here: {reason}. The log has the details.</source>
      <translation>SR Geo орнатылды, бірақ мұнда жұмыс істемейді: {reason}. Толығы журналда.</translation>
    </message>
    <message>
      <source>The folder of wheels is not enough: {reason}. Fill it with “pip wheel” on a machine of the same system and Python version, or leave the field empty to download.</source>
      <translation>Пакеттер қалтасында керегі жетіспейді: {reason}. Жүйесі мен Python нұсқасы дәл осындай компьютерде оны «pip wheel» командасымен толықтырыңыз немесе пакеттер жүктеп алынуы үшін өрісті бос қалдырыңыз.</translation>
    </message>
    <message>
      <source>pip cannot use a SOCKS proxy: write an HTTP proxy into the field Proxy, or choose uv under Made with.</source>
      <translation>pip SOCKS прокси арқылы жұмыс істемейді: «Прокси» өрісіне HTTP прокси жазыңыз немесе «Немен жасалады» тізімінен uv таңдаңыз.</translation>
    </message>
    <message>
      <source>The proxy wants a name and a password: write them into the field Proxy, as http://user:password@host:port.</source>
      <translation>Прокси пайдаланушы аты мен құпиясөзді сұрайды: оларды «Прокси» өрісіне http://user:password@host:port түрінде жазыңыз.</translation>
    </message>
    <message>
      <source>What stands between here and the packages (a proxy, a virus scanner) shows a certificate that is not trusted: have it added to the certificates of the system and choose uv under Made with, or choose a folder of wheels.</source>
      <translation>Пакеттерге барар жолда тұрған бағдарлама (прокси немесе антивирус) сенімсіз сертификат көрсетеді: сол сертификатты жүйенің сертификаттарына қостырып, «Немен жасалады» тізімінен uv таңдаңыз немесе пакеттер қалтасын көрсетіңіз.</translation>
    </message>
    <message>
      <source>The proxy does not answer, or does not let the packages through: correct the field Proxy, empty it where none is needed, or choose a folder of wheels.</source>
      <translation>Прокси жауап бермейді немесе пакеттерді өткізбейді: «Прокси» өрісін түзетіңіз, прокси керек болмаса, өрісті тазалаңыз немесе пакеттер қалтасын таңдаңыз.</translation>
    </message>
    <message>
      <source>Installing failed: {reason}. Check the connection and the proxy, or choose a folder of wheels.</source>
      <translation>Орнату сәтсіз аяқталды: {reason}. Қосылым мен проксиді тексеріңіз немесе пакеттер қалтасын таңдаңыз.</translation>
    </message>
    <message>
      <source>{layer}: the layer cannot be read; repair its source or remove it.</source>
      <translation>{layer}: қабат оқылмайды; оның дереккөзін түзетіңіз немесе қабатты жойыңыз.</translation>
    </message>
    <message>
      <source>{layer}: a map from a server holds colours, not measurements; download the imagery itself and add it as a file.</source>
      <translation>{layer}: сервердегі картада өлшемдер емес, түстер бар; түсірілімнің өзін жүктеп алып, файл ретінде қосыңыз.</translation>
    </message>
    <message>
      <source>{layer}: its picture changes with time; export the moment that you need as a GeoTIFF and take that.</source>
      <translation>{layer}: қабаттың бейнесі уақытпен өзгереді; керек сәтін GeoTIFF-ке экспорттап, соны алыңыз.</translation>
    </message>
    <message>
      <source>{path}: the file is no longer there; put it back, or add the layer anew.</source>
      <translation>{path}: файл енді жоқ; оны орнына қайтарыңыз немесе қабатты қайта қосыңыз.</translation>
    </message>
    <message>
      <source>{layer}: the source does not tell its pixel size; export the layer as a GeoTIFF and take that.</source>
      <translation>{layer}: дереккөз пиксель өлшемін айтпайды; қабатты GeoTIFF-ке экспорттап, соны алыңыз.</translation>
    </message>
    <message>
      <source>{layer}: not a file that can be read directly, and too large to copy; choose a smaller extent or export it as a GeoTIFF.</source>
      <translation>{layer}: тікелей оқылатын файл емес, ал көшіруге тым үлкен; кішірек қамту аумағын таңдаңыз немесе қабатты GeoTIFF-ке экспорттаңыз.</translation>
    </message>
    <message>
      <source>{layer}: the extent lies outside the raster; choose another one.</source>
      <translation>{layer}: қамту аумағы растрдан тыс жатыр; басқасын таңдаңыз.</translation>
    </message>
    <message>
      <source>{layer}: it cannot be copied to {folder}; is there room on the disk?</source>
      <translation>{layer}: {folder} ішіне көшіру мүмкін емес; дискіде орын бар ма?</translation>
    </message>
    <message>
      <source>SR Geo: looking for the worker</source>
      <translation>SR Geo: есептеу модулін іздеу</translation>
    </message>
    <message>
      <source>There is no image: add a raster layer first.</source>
      <translation>Түсірілім жоқ: алдымен растр қабатын қосыңыз.</translation>
    </message>
    <message>
      <source>SR Geo: preview</source>
      <translation>SR Geo: алдын ала қарау</translation>
    </message>
    <message>
      <source>Enhancing the middle of the map…</source>
      <translation>Картаның ортасы өңделуде…</translation>
    </message>
    <message>
      <source>{layer} does not lie under the middle of the map; move the map over it.</source>
      <translation>{layer} картаның ортасының астында жатқан жоқ; картаны соған жылжытыңыз.</translation>
    </message>
    <message>
      <source>The preview cannot be read; try once more.</source>
      <translation>Алдын ала қарау оқылмайды; тағы бір рет байқап көріңіз.</translation>
    </message>
    <message>
      <source>{columns} × {rows} pixels of the image, {seconds} s</source>
      <translation>Түсірілімнің {columns} × {rows} пикселі, {seconds} с</translation>
    </message>
    <message>
      <source>Stopped; nothing was written.</source>
      <translation>Тоқтатылды; ештеңе жазылмады.</translation>
    </message>
    <message>
      <source>SR Geo: enhancing {layer}</source>
      <translation>SR Geo: {layer} қабатын өңдеу</translation>
    </message>
    <message>
      <source>Stopping…</source>
      <translation>Тоқтатылуда…</translation>
    </message>
    <message>
      <source>{path} is open as the layer {layer}: remove that layer, or choose another name.</source>
      <translation>{path} файлы {layer} қабаты ретінде ашық: сол қабатты жойыңыз немесе басқа атау таңдаңыз.</translation>
    </message>
    <message>
      <source>{path}: the result cannot be opened; is the disk still there?</source>
      <translation>{path}: нәтиже ашылмайды; диск әлі қосулы ма?</translation>
    </message>
    <message>
      <source>{layer}, added detail</source>
      <translation>{layer}, қосылған бөлшектер</translation>
    </message>
    <message>
      <source>{layer} added ({seconds} s).</source>
      <translation>{layer} қосылды ({seconds} с).</translation>
    </message>
    <message>
      <source>{layer} added on top ({seconds} s): the image is no longer in the project.</source>
      <translation>{layer} ең үстіне қосылды ({seconds} с): түсірілім жобада енді жоқ.</translation>
    </message>
    <message>
      <source>It has colours of its own: a band that the image shows is not in it.</source>
      <translation>Оның өз түстері бар: түсірілім көрсететін арна онда жоқ.</translation>
    </message>
    <message>
      <source>Undo</source>
      <translation>Болдырмау</translation>
    </message>
    <message>
      <source>The layer was removed; the file stays: {path}</source>
      <translation>Қабат жойылды; файл қалды: {path}</translation>
    </message>
    <message>
      <source>Save the table</source>
      <translation>Кестені сақтау</translation>
    </message>
    <message>
      <source>CSV table (*.csv)</source>
      <translation>CSV кестесі (*.csv)</translation>
    </message>
    <message>
      <source>The field cannot be shown: it lies where the CRS of the map does not reach.</source>
      <translation>Танапты көрсету мүмкін емес: ол картаның координаттар жүйесі қамтымайтын жерде жатыр.</translation>
    </message>
    <message>
      <source>Set up…</source>
      <translation>Баптау…</translation>
    </message>
    <message>
      <source>The satellite image: a raster layer of the project.</source>
      <translation>Спутниктік түсірілім: жобаның растр қабаты.</translation>
    </message>
    <message>
      <source>Field outlines. Only the image within them is enhanced; without them, all of it.</source>
      <translation>Танап контурлары. Түсірілімнің тек солардың ішіндегі бөлігі өңделеді; контурсыз — бүкіл түсірілім.</translation>
    </message>
    <message>
      <source>Selected fields only</source>
      <translation>Тек таңдалған танаптар</translation>
    </message>
    <message>
      <source>Automatic, by the bands</source>
      <translation>Автоматты түрде, арналар бойынша</translation>
    </message>
    <message>
      <source>The network. Your own regional models are listed too.</source>
      <translation>Нейрожелі. Өз аймақтық модельдеріңіз де тізімде.</translation>
    </message>
    <message>
      <source>Image</source>
      <translation>Түсірілім</translation>
    </message>
    <message>
      <source>Fields</source>
      <translation>Танаптар</translation>
    </message>
    <message>
      <source>More options</source>
      <translation>Қосымша</translation>
    </message>
    <message>
      <source>as the file says</source>
      <translation>файлда көрсетілгендей</translation>
    </message>
    <message>
      <source>measured</source>
      <translation>өлшенеді</translation>
    </message>
    <message>
      <source>Blur of the sensor in pixels of the result. Change it only where the result looks too soft or has halos.</source>
      <translation>Сенсордың бұлыңғырлығы, нәтиже пиксельдерімен. Нәтиже тым бұлдыр немесе шеттері жиектеліп көрінсе ғана өзгертіңіз.</translation>
    </message>
    <message>
      <source>Sensor blur</source>
      <translation>Сенсор бұлыңғырлығы</translation>
    </message>
    <message>
      <source> m</source>
      <translation> м</translation>
    </message>
    <message>
      <source>Metres to grow every field; below zero, to shrink it. The statistics are of the fields themselves.</source>
      <translation>Әр танапты қанша метрге кеңейту керек; нөлден кем болса — тарылту. Статистика танаптардың өзі бойынша есептеледі.</translation>
    </message>
    <message>
      <source>Margin around fields</source>
      <translation>Танап айналасындағы жолақ</translation>
    </message>
    <message>
      <source>Also the land between the fields</source>
      <translation>Танап арасындағы жер де</translation>
    </message>
    <message>
      <source>Add a map of the added detail</source>
      <translation>Қосылған бөлшектер картасын қосу</translation>
    </message>
    <message>
      <source>Shows pixel by pixel how much was added beyond what the satellite measured.</source>
      <translation>Спутник өлшегеннен тыс қанша қосылғанын пиксель бойынша көрсетеді.</translation>
    </message>
    <message>
      <source>GeoTIFF (*.tif)</source>
      <translation>GeoTIFF (*.tif)</translation>
    </message>
    <message>
      <source>[temporary file]</source>
      <translation>[уақытша файл]</translation>
    </message>
    <message>
      <source>Save as</source>
      <translation>Басқаша сақтау</translation>
    </message>
    <message>
      <source>Selected fields only ({number})</source>
      <translation>Тек таңдалған танаптар ({number})</translation>
    </message>
    <message>
      <source>{layer}: the raster has no place on the map; georeference it first.</source>
      <translation>{layer}: растрдың картада орны жоқ; алдымен оны байланыстырыңыз.</translation>
    </message>
    <message>
      <source>The piece for the preview cannot be written ({reason}).</source>
      <translation>Алдын ала қарауға арналған бөлікті жазу мүмкін емес ({reason}).</translation>
    </message>
    <message>
      <source>The worker ended without a result; repair it in Set up.</source>
      <translation>Есептеу модулі нәтижесіз аяқталды; оны «Баптау» бетінде қалпына келтіріңіз.</translation>
    </message>
    <message>
      <source>Log</source>
      <translation>Журналды ашу</translation>
    </message>
    <message>
      <source>Preview: before on the left, after on the right</source>
      <translation>Алдын ала қарау: сол жақта — дейін, оң жақта — кейін</translation>
    </message>
    <message>
      <source>before</source>
      <translation>дейін</translation>
    </message>
    <message>
      <source>after</source>
      <translation>кейін</translation>
    </message>
    <message>
      <source>{path}: the table of the fields cannot be read; run again.</source>
      <translation>{path}: танаптар кестесі оқылмайды; қайта іске қосыңыз.</translation>
    </message>
    <message>
      <source>{path} cannot be written ({reason}); close it where it is open, or choose another place.</source>
      <translation>{path}: жазу мүмкін емес ({reason}); файл ашық тұрған жерде жабыңыз немесе басқа орын таңдаңыз.</translation>
    </message>
    <message>
      <source>Double-click a field to see it on the map.</source>
      <translation>Танапты картада көру үшін оны екі рет шертіңіз.</translation>
    </message>
    <message>
      <source>Field</source>
      <translation>Танап</translation>
    </message>
    <message>
      <source>Area, ha</source>
      <translation>Ауданы, га</translation>
    </message>
    <message>
      <source>NDVI before</source>
      <translation>NDVI, дейін</translation>
    </message>
    <message>
      <source>NDVI after</source>
      <translation>NDVI, кейін</translation>
    </message>
    <message>
      <source>NDVI variation before</source>
      <translation>NDVI әркелкілігі, дейін</translation>
    </message>
    <message>
      <source>NDVI variation after</source>
      <translation>NDVI әркелкілігі, кейін</translation>
    </message>
    <message>
      <source>Added detail</source>
      <translation>Қосылған бөлшектер</translation>
    </message>
    <message>
      <source>Covered, %</source>
      <translation>Түсіріліммен қамтылған, %</translation>
    </message>
    <message>
      <source>Width, pixels of the input</source>
      <translation>Ені, түсірілім пикселі</translation>
    </message>
    <message>
      <source>{band} before</source>
      <translation>{band}, дейін</translation>
    </message>
    <message>
      <source>{band} after</source>
      <translation>{band}, кейін</translation>
    </message>
    <message>
      <source>Coastal blue</source>
      <translation>Жағалық көк</translation>
    </message>
    <message>
      <source>Blue</source>
      <translation>Көк</translation>
    </message>
    <message>
      <source>Green</source>
      <translation>Жасыл</translation>
    </message>
    <message>
      <source>Red</source>
      <translation>Қызыл</translation>
    </message>
    <message>
      <source>NIR</source>
      <translation>ЖИҚ (NIR)</translation>
    </message>
    <message>
      <source>NIR (narrow)</source>
      <translation>ЖИҚ (тар)</translation>
    </message>
    <message>
      <source>Red edge 1</source>
      <translation>Қызыл шет 1</translation>
    </message>
    <message>
      <source>Red edge 2</source>
      <translation>Қызыл шет 2</translation>
    </message>
    <message>
      <source>Red edge 3</source>
      <translation>Қызыл шет 3</translation>
    </message>
    <message>
      <source>Band {number}</source>
      <translation>{number}-арна</translation>
    </message>
    <message>
      <source>Unexpected: {reason}. Please report it with the log.</source>
      <translation>Күтпеген қате: {reason}. Журналмен бірге хабарлаңыз.</translation>
    </message>
    <message>
      <source>SR Geo itself is not installed yet. Set up shows what it needs before anything is done.</source>
      <translation>SR Geo өзі әлі орнатылмаған. «Баптау» алдымен не керегін көрсетеді, содан кейін ғана бірдеңе істейді.</translation>
    </message>
    <message>
      <source>Preview</source>
      <translation>Алдын ала қарау</translation>
    </message>
    <message>
      <source>Drag to compare. The wheel zooms; drag with the right button to move.</source>
      <translation>Салыстыру үшін шекараны жылжытыңыз. Дөңгелек масштабты өзгертеді; оң түймемен түсірілім жылжиды.</translation>
    </message>
    <message>
      <source>Preview the map centre</source>
      <translation>Картаның ортасын алдын ала қарау</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Бас тарту</translation>
    </message>
    <message>
      <source>Results</source>
      <translation>Нәтижелер</translation>
    </message>
    <message>
      <source>Remove this result from the project. A file that you named yourself stays on the disk.</source>
      <translation>Бұл нәтижені жобадан алып тастау. Өзіңіз атаған файл дискіде қалады.</translation>
    </message>
    <message>
      <source>Compare on the map</source>
      <translation>Картада салыстыру</translation>
    </message>
    <message>
      <source>Drag the divider on the map: the image is on its left, the result on its right.</source>
      <translation>Картадағы шекараны жылжытыңыз: оның сол жағында түсірілім, оң жағында нәтиже.</translation>
    </message>
    <message>
      <source>Save the table…</source>
      <translation>Кестені сақтау…</translation>
    </message>
    <message>
      <source>Move the map to a place that you know, then press “Preview the map centre”.</source>
      <translation>Картаны өзіңіз білетін жерге жылжытып, «Картаның ортасын алдын ала қарау» түймесін басыңыз.</translation>
    </message>
    <message>
      <source>Starting…</source>
      <translation>Іске қосылуда…</translation>
    </message>
    <message>
      <source>SR Geo panel</source>
      <translation>SR Geo панелі</translation>
    </message>
    <message>
      <source>SR Geo</source>
      <translation>SR Geo</translation>
    </message>
    <message>
      <source>{layer}: these are no polygons; choose the layer with the outlines of the fields.</source>
      <translation>{layer}: бұл полигондар емес; танап контурлары бар қабатты таңдаңыз.</translation>
    </message>
    <message>
      <source>{layer}: the parcels have no CRS; set it with a right click, Layer CRS, and run again.</source>
      <translation>{layer}: танап контурларының координаттар жүйесі жоқ; оны тінтуірдің оң түймесімен («Қабаттың координаттар жүйесі») беріп, қайта іске қосыңыз.</translation>
    </message>
    <message>
      <source>{layer}: the parcels cannot be copied to {folder} ({reason}).</source>
      <translation>{layer}: танап контурларын {folder} ішіне көшіру мүмкін емес ({reason}).</translation>
    </message>
    <message>
      <source>{layer}: no parcels lie within the extent; choose another one.</source>
      <translation>{layer}: бұл аумақта танап жоқ; басқасын таңдаңыз.</translation>
    </message>
    <message>
      <source>{layer}: no parcels to work on; select some, or switch off “selected features only”.</source>
      <translation>{layer}: жұмыс істейтін танап жоқ; бірнешеуін таңдаңыз немесе «Тек таңдалған нысандар» белгісін алып тастаңыз.</translation>
    </message>
    <message>
      <source>{layer}: the layer has no parcels; draw some in it, or choose another layer.</source>
      <translation>{layer}: қабатта танап жоқ; танаптарды сызыңыз немесе басқа қабатты таңдаңыз.</translation>
    </message>
    <message>
      <source>{layer}: the image lies where the CRS of the parcels ({crs}) does not reach; check the CRS of both layers.</source>
      <translation>{layer}: түсірілім танаптардың координаттар жүйесі ({crs}) қамтымайтын жерде жатыр; екі қабаттың да координаттар жүйесін тексеріңіз.</translation>
    </message>
    <message>
      <source>The extent is empty; draw or choose another one.</source>
      <translation>Қамту аумағы бос; басқасын сызыңыз немесе таңдаңыз.</translation>
    </message>
    <message>
      <source>The extent cannot be written to {folder}; is there room on the disk?</source>
      <translation>Қамту аумағын {folder} ішіне жазу мүмкін емес; дискіде орын бар ма?</translation>
    </message>
    <message>
      <source>{python} has no SR Geo any more: open SR Geo, Set up… in the menu Raster, and repair it or choose another Python.</source>
      <translation>{python} ішінде SR Geo енді жоқ: «Растр» мәзіріндегі SR Geo, Баптау… бетін ашып, қалпына келтіріңіз немесе басқа Python таңдаңыз.</translation>
    </message>
    <message>
      <source>SR Geo itself is not installed yet: open SR Geo, Set up… in the menu Raster. It takes a few minutes, once.</source>
      <translation>SR Geo өзі әлі орнатылмаған: «Растр» мәзіріндегі SR Geo, Баптау… бетін ашыңыз. Бұл бір-ақ рет, бірнеше минут алады.</translation>
    </message>
    <message>
      <source>SR Geo: Set up</source>
      <translation>SR Geo: баптау</translation>
    </message>
    <message>
      <source>Install</source>
      <translation>Орнату</translation>
    </message>
    <message>
      <source>Use an existing Python</source>
      <translation>Бар Python пайдалану</translation>
    </message>
    <message>
      <source>Check</source>
      <translation>Тексеру</translation>
    </message>
    <message>
      <source>What happens is written here.</source>
      <translation>Не болып жатқаны осында жазылады.</translation>
    </message>
    <message>
      <source>Close</source>
      <translation>Жабу</translation>
    </message>
    <message>
      <source>SR Geo does not run inside QGIS, whose libraries would clash with its own: it gets a Python environment in a folder of yours, outside QGIS and your profile. QGIS itself is not changed.</source>
      <translation>SR Geo QGIS ішінде жұмыс істемейді: кітапханалары QGIS кітапханаларына кедергі болар еді. Ол сіздің қалтаңызда, QGIS пен профиліңізден тыс, өзінің Python ортасын алады. QGIS өзі өзгермейді.</translation>
    </message>
    <message>
      <source>for an NVIDIA graphics card</source>
      <translation>NVIDIA бейнекартасы үшін</translation>
    </message>
    <message>
      <source>There is no ONNX Runtime for NVIDIA graphics cards on this system.</source>
      <translation>Бұл жүйеге арналған, NVIDIA бейнекарталарын қолдайтын ONNX Runtime жоқ.</translation>
    </message>
    <message>
      <source>with training of regional models</source>
      <translation>аймақтық модельдерді оқытумен</translation>
    </message>
    <message>
      <source>For machines without internet: made by “pip wheel” on another machine of the same system and Python version.</source>
      <translation>Интернеті жоқ компьютерлер үшін: жүйесі мен Python нұсқасы бірдей басқа компьютерде «pip wheel» арқылы жиналған пакеттер.</translation>
    </message>
    <message>
      <source>Remove</source>
      <translation>Жою</translation>
    </message>
    <message>
      <source>Made with</source>
      <translation>Немен жасалады</translation>
    </message>
    <message>
      <source>Folder of wheels</source>
      <translation>Пакеттер қалтасы (wheel)</translation>
    </message>
    <message>
      <source>Proxy</source>
      <translation>Прокси</translation>
    </message>
    <message>
      <source>What will be done</source>
      <translation>Не істеледі</translation>
    </message>
    <message>
      <source>A Python, or the folder of a virtual environment, in which SR Geo is installed. Left empty, the one made by Install is used.</source>
      <translation>SR Geo орнатылған Python немесе виртуалды орта қалтасы. Бос болса, «Орнату» жасаған орта пайдаланылады.</translation>
    </message>
    <message>
      <source>Use it</source>
      <translation>Пайдалану</translation>
    </message>
    <message>
      <source>Part</source>
      <translation>Бөлігі</translation>
    </message>
    <message>
      <source>State</source>
      <translation>Күйі</translation>
    </message>
    <message>
      <source>Details, and what to do</source>
      <translation>Толығы және не істеу керек</translation>
    </message>
    <message>
      <source>Check now</source>
      <translation>Қазір тексеру</translation>
    </message>
    <message>
      <source>Show the log of the installation</source>
      <translation>Орнату журналын көрсету</translation>
    </message>
    <message>
      <source>Looking for what is installed…</source>
      <translation>Не орнатылғаны қаралуда…</translation>
    </message>
    <message>
      <source>SR Geo: looking for Python</source>
      <translation>SR Geo: Python іздеу</translation>
    </message>
    <message>
      <source>SR Geo itself is not installed yet: press Install below. It takes a few minutes, once.</source>
      <translation>SR Geo өзі әлі орнатылмаған: төмендегі «Орнату» түймесін басыңыз. Бұл бір-ақ рет, бірнеше минут алады.</translation>
    </message>
    <message>
      <source>{python} has no SR Geo any more: install it there again, choose another Python, or press Install below.</source>
      <translation>{python} ішінде SR Geo енді жоқ: оны сонда қайта орнатыңыз, басқа Python таңдаңыз немесе төмендегі «Орнату» түймесін басыңыз.</translation>
    </message>
    <message>
      <source>SR Geo {version} is ready: {python}</source>
      <translation>SR Geo {version} дайын: {python}</translation>
    </message>
    <message>
      <source>SR Geo {version} works, but this plugin comes with {newer}: press Repair to renew it.</source>
      <translation>SR Geo {version} жұмыс істейді, бірақ бұл модульмен {newer} бірге келеді: жаңарту үшін «Қалпына келтіру» түймесін басыңыз.</translation>
    </message>
    <message>
      <source>Repair</source>
      <translation>Қалпына келтіру</translation>
    </message>
    <message>
      <source>another one…</source>
      <translation>басқасы…</translation>
    </message>
    <message>
      <source>No Python 3.10 or later was found. Install one from python.org, or uv, and open this page again; or choose another one above.</source>
      <translation>Python 3.10 немесе одан жаңасы табылмады. Оны python.org сайтынан немесе uv орнатып, бұл бетті қайта ашыңыз; не жоғарыдан басқасын таңдаңыз.</translation>
    </message>
    <message>
      <source>{download} MB are downloaded and {disk} MB used in {folder}:</source>
      <translation>{download} МБ жүктеледі және {folder} ішінде {disk} МБ орын алады:</translation>
    </message>
    <message>
      <source>{disk} MB are used in {folder}:</source>
      <translation>{folder} ішінде {disk} МБ орын алады:</translation>
    </message>
    <message>
      <source>No driver of an NVIDIA graphics card was found on this machine. Everything works all the same, but runs stay on the processor until a driver is installed.</source>
      <translation>Бұл компьютерде NVIDIA бейнекартасының драйвері табылмады. Бәрі бұрынғыдай жұмыс істейді, бірақ драйвер орнатылғанша өңдеу процессорда жүреді.</translation>
    </message>
    <message>
      <source>Python 3.10 or later, or uv</source>
      <translation>Python 3.10 немесе одан жаңасы, не uv</translation>
    </message>
    <message>
      <source>{file} is no Python 3.10 or later that can make environments, and not uv.</source>
      <translation>{file} — орта жасай алатын Python 3.10 немесе одан жаңасы да, uv да емес.</translation>
    </message>
    <message>
      <source>SR Geo: installing</source>
      <translation>SR Geo: орнату</translation>
    </message>
    <message>
      <source>Remove the environment in {folder}? Your own models and results stay.</source>
      <translation>{folder} ішіндегі ортаны жою керек пе? Модельдеріңіз бен нәтижелеріңіз қалады.</translation>
    </message>
    <message>
      <source>SR Geo: removing</source>
      <translation>SR Geo: жою</translation>
    </message>
    <message>
      <source>{path}: no Python with SR Geo; install it there with pip, or choose another one.</source>
      <translation>{path}: мұнда SR Geo бар Python жоқ; оны сонда pip арқылы орнатыңыз немесе басқасын таңдаңыз.</translation>
    </message>
    <message>
      <source>SR Geo: checking</source>
      <translation>SR Geo: тексеру</translation>
    </message>
    <message>
      <source>Cancelling…</source>
      <translation>Тоқтатылуда…</translation>
    </message>
    <message>
      <source>Cancelled.</source>
      <translation>Бас тартылды.</translation>
    </message>
    <message>
      <source>{program} cannot be started ({reason}): repair it in Set up.</source>
      <translation>{program} іске қосылмайды ({reason}): оны «Баптау» бетінде қалпына келтіріңіз.</translation>
    </message>
    <message>
      <source>The worker was stopped by another program; run it again.</source>
      <translation>Есептеу модулін басқа бағдарлама тоқтатты; қайта іске қосыңыз.</translation>
    </message>
    <message>
      <source>The worker was killed, most likely because memory ran out: close other programs, or set a smaller tile (“Advanced parameters” in the toolbox), and run it again.</source>
      <translation>Есептеу модулі үзілді, жад жетпеген болуы мүмкін: басқа бағдарламаларды жабыңыз немесе кішірек тайл беріп (өңдеу құралдарындағы «Қосымша параметрлер»), қайта іске қосыңыз.</translation>
    </message>
    <message>
      <source>The worker crashed (code {code}); run it again, and repair it in Set up if that does not help.</source>
      <translation>Есептеу модулі істен шықты (код {code}); қайта іске қосыңыз, көмектеспесе, «Баптау» бетінде қалпына келтіріңіз.</translation>
    </message>
    <message>
      <source>{reason}: a package of the worker is gone; open SR Geo, Set up…, and repair it.</source>
      <translation>{reason}: есептеу модулінің пакеті жоғалған; SR Geo, Баптау… бетін ашып, оны қалпына келтіріңіз.</translation>
    </message>
    <message>
      <source>The worker ended with code {code} and said nothing; see Check in Set up.</source>
      <translation>Есептеу модулі {code} кодымен аяқталып, ештеңе айтпады; «Баптау» бетіндегі «Тексеру» қойындысын қараңыз.</translation>
    </message>
    <message>
      <source>{reason} (in QGIS: “More options” in the panel, “Advanced parameters” in the toolbox)</source>
      <translation>{reason} (QGIS-те: панельдегі «Қосымша», өңдеу құралдарындағы «Қосымша параметрлер»)</translation>
    </message>
    <message>
      <source>Enhancing: tile {done} of {total}</source>
      <translation>Өңдеу: тайл {done} / {total}</translation>
    </message>
    <message>
      <source>Measuring parcels: {done} of {total}</source>
      <translation>Танаптарды өлшеу: {done} / {total}</translation>
    </message>
    <message>
      <source>Checking: {done} of {total}</source>
      <translation>Тексеру: {done} / {total}</translation>
    </message>
    <message>
      <source>Writing: {done} of {total}</source>
      <translation>Жазу: {done} / {total}</translation>
    </message>
    <message>
      <source>Training: step {done} of {total}</source>
      <translation>Оқыту: {done}-қадам, барлығы {total}</translation>
    </message>
    <message>
      <source>{text}, about {time} left</source>
      <translation>{text}, шамамен {time} қалды</translation>
    </message>
  </context>
</TS>
